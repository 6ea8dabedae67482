//! The command line. The help texts are for the person who has never seen it: each says what happens and shows one.

mod order;
mod plugin;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::DEFAULT_FILE;

pub(crate) use order::{ActArgs, CreateArgs, ListArgs, OrderCommand};
pub(crate) use plugin::{InstallArgs, PluginCommand};

/// One site of a federation of independent clouds.
///
/// Archipel lets users of one site order machines, volumes and networks at any site of a federation, while every site
/// keeps its own users, rules and clouds: each of these is a sandboxed plugin (a .wasm file) that the site's
/// administrator drops into a folder.
#[derive(Debug, Parser)]
#[command(
    name = "archipel",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  archipel check-config --config site.toml      is the site file right?\n  archipel serve --config site.toml             run the site\n  archipel order list                           what is ordered (as the administrator)\n  archipel plugin grant cloud-openstack --write give a plugin what it asks for\n\nExit codes: 0 yes, 1 no, 2 wrong usage or environment."
)]
pub(crate) struct Cli {
    /// How answers are written: for people, or as JSON for programs.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = Format::Text,
        env = "ARCHIPEL_OUTPUT",
        hide_env = true,
        help_heading = "Everywhere"
    )]
    pub(crate) output: Format,

    #[command(flatten)]
    pub(crate) door: DoorArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document per answer.
    Json,
}

/// Which site is meant, and as whom.
#[derive(Debug, Args)]
pub(crate) struct DoorArgs {
    /// The site file. Commands that manage a running site find its administrator's socket through it.
    #[arg(long, global = true, help_heading = "Everywhere", value_name = "FILE", env = "ARCHIPEL_CONFIG", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,

    /// The administrator's socket of a running site (DATA_DIR/admin.sock), instead of the one that the site file names.
    #[arg(long, global = true, help_heading = "Everywhere", value_name = "FILE", conflicts_with = "url")]
    pub(crate) socket: Option<PathBuf>,

    /// A site's address, to ask it as a user with a token instead of as the administrator.
    #[arg(long, global = true, help_heading = "Everywhere", value_name = "URL", env = "ARCHIPEL_URL")]
    pub(crate) url: Option<String>,

    /// The token for --url; `archipel token` makes one.
    #[arg(
        long,
        global = true,
        help_heading = "Everywhere",
        value_name = "TOKEN",
        env = "ARCHIPEL_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,

    /// Certificates (PEM) to trust for an https --url, instead of the machine's.
    #[arg(long, global = true, help_heading = "Everywhere", value_name = "FILE", env = "ARCHIPEL_CA")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the site until it is told to stop.
    ///
    /// SIGTERM and SIGINT stop it: it takes no new requests, ends those in work, and writes down what clouds answer.
    /// SIGHUP reads the site file again and takes it whole or not at all. A plugin that cannot be loaded does not stop
    /// the site; `archipel plugin list` tells why.
    #[command(after_help = "Example:\n  archipel serve --config /etc/archipel/site.toml --log json")]
    Serve(ServeArgs),

    /// Tell whether the site file is right, and everything that is wrong with it.
    ///
    /// A whole site file may be as short as:
    ///
    ///   [site]
    ///   id = "site-a.example.org"
    ///
    /// Sections: [site], [[identity]], [[authorization]], [[cloud]], [[limit]], [[events.kafka]], [[events.webhook]],
    /// [audit], [grants.PLUGIN], [signatures], [secrets.NAME], [vault], [[shadow]], [limits.{plugins,api,orders,identity,egress}]. Every key can be set from the environment as ARCHIPEL__SECTION__KEY, e.g.
    /// ARCHIPEL__SITE__LISTEN=127.0.0.1:8080 or ARCHIPEL__CLOUD__EAST__STATE=draining (an item of a list by its index
    /// or its name).
    #[command(
        after_help = "Example:\n  archipel check-config --config site.toml && systemctl reload archipel"
    )]
    CheckConfig,

    /// Look at the machine and the site as a whole, and say what to do about what is wrong.
    #[command(after_help = "Example:\n  archipel doctor --config site.toml")]
    Doctor,

    /// Log in at a site and print a token for --token or ARCHIPEL_TOKEN.
    ///
    /// Asks for what the site's identity plugin wants to know, unless it is given; secrets are not shown while typed.
    #[command(
        after_help = "Examples:\n  export ARCHIPEL_URL=http://127.0.0.1:7070\n  export ARCHIPEL_TOKEN=$(archipel token)\n  archipel token local --username alice --password-file ~/.archipel-password"
    )]
    Token(TokenArgs),

    /// Order machines, volumes, networks and attachments, and see what became of them.
    #[command(subcommand)]
    Order(OrderCommand),

    /// See, check and grant plugins.
    #[command(subcommand)]
    Plugin(PluginCommand),

    /// Seal the site's secrets, and change what they are sealed with.
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Measure a cloud of a running site with a benchmark plugin.
    #[command(subcommand)]
    Bench(crate::commands::bench::BenchCommand),

    /// Look at, copy, restore and compact everything durable.
    #[command(subcommand)]
    Store(crate::commands::store::StoreCommand),

    /// See what sends the site's events somewhere else, and send them again.
    #[command(subcommand)]
    Events(EventsCommand),

    /// Write the man pages of this program into a folder.
    #[command(after_help = "Example:\n  archipel man /usr/local/share/man/man1")]
    Man {
        /// The folder; it is made if it is not there.
        folder: PathBuf,
    },

    /// Print what lets a shell complete this program's commands.
    #[command(
        after_help = "Example:\n  archipel completions bash > /usr/share/bash-completion/completions/archipel"
    )]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },

    /// Compare what the clouds hold with what is ordered, and see what nobody has ordered.
    #[command(subcommand)]
    Sweep(SweepCommand),

    /// Tell what was used: instances, vcpu, memory and storage times seconds.
    ///
    /// As the administrator, what everybody used; with --url and a token, one's own (and one's group's, where the policy lets
    /// one see it). What runs counts until now. Stopped, paused and hibernated machines are told apart from running ones.
    #[command(
        after_help = "Examples:\n  archipel usage --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --by group,cloud\n  archipel usage --by order --format csv > orders.csv\n  archipel usage --format ur > records.xml          usage records, OGF GFD.98"
    )]
    Usage(crate::commands::usage::UsageArgs),

    /// Ask who did what, who had an address, and whether the record of it is whole; for administrators and auditors.
    #[command(subcommand)]
    Audit(crate::commands::audit::AuditCommand),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// How the log is written to standard error.
    #[arg(long, value_enum, default_value_t = Format::Text, env = "ARCHIPEL_LOG_FORMAT")]
    pub(crate) log: Format,

    /// What is logged: a level, or levels per part, as in `info,archipel_runtime=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "ARCHIPEL_LOG")]
    pub(crate) log_filter: String,

    /// Let ARCHIPEL_FAIL_POINT end the process on purpose (for the kill test only).
    #[arg(long, hide = true)]
    pub(crate) fail_points: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The identity binding to log in with; may be left out where the site has one.
    pub(crate) binding: Option<String>,

    /// The user's name (the field `username`).
    #[arg(long, value_name = "NAME")]
    pub(crate) username: Option<String>,

    /// A file with the password (the field `password`); `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// Any other field that the binding asks for.
    #[arg(long = "field", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) fields: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// List the publishers of a running site, with how far each is behind, and why.
    List,

    /// Send events again; what was sent before comes again, with the same event ids.
    #[command(
        after_help = "Examples:\n  archipel events replay --publisher bus --from 2026-11-21T12:00:00Z\n  archipel events replay --publisher bus --from oldest\n  archipel events replay --publisher hook              go on, after its receiver had answered 410"
    )]
    Replay {
        /// The publisher.
        #[arg(long, value_name = "NAME")]
        publisher: String,
        /// A time (RFC 3339), a cursor of /v1/events, `oldest`, or `now` to leave out what is not sent yet; where it stands
        /// when left out.
        #[arg(long, value_name = "CURSOR|TIME")]
        from: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SweepCommand {
    /// Show the last sweep of each cloud since the site was started.
    Show,

    /// Sweep now.
    ///
    /// Lists what every account of a cloud holds under this site's tag. What no order has is looked at once more after the
    /// driver's settle time. It is deleted only where the cloud says sweep = { unknown = "delete" }, and never in a
    /// restored store that nobody has confirmed.
    #[command(after_help = "Examples:\n  archipel sweep run\n  archipel sweep run --cloud east --wait")]
    Run {
        /// One cloud; all where left out.
        #[arg(long, value_name = "NAME")]
        cloud: Option<String>,
        /// Wait until it is done. Exit code 1 where something is unknown, or could not be looked at.
        #[arg(long)]
        wait: bool,
    },

    /// Say that what the last sweep found in a restored store is nobody's, so that sweeps may delete it.
    #[command(
        after_help = "Example:\n  archipel sweep show\n  archipel sweep confirm --incarnation 019a... --reason 'compared with the users by hand'"
    )]
    Confirm {
        /// The store's incarnation, as `archipel sweep show` names it: another restore needs another word.
        #[arg(long, value_name = "UUID")]
        incarnation: String,
        /// Why; kept in the log.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// List the secrets of the site file: where each comes from, and which key sealed it. Never what they are.
    List,

    /// Seal a secret for the site file's `[secrets.NAME] sealed = "FILE"`, and write it there.
    ///
    /// Reads it from standard input, one final line end taken off; asks for it at a terminal. A site that serves takes it
    /// with `archipel plugin reload`; until then the old one serves.
    #[command(
        after_help = "Examples:\n  archipel secret seal physics < password\n  archipel secret seal aws <<< 'AKIA...:wJal...'"
    )]
    Seal {
        /// The secret.
        name: String,
    },

    /// Make a new sealing key, seal every secret anew with it, and forget the old one. The site may serve meanwhile.
    ///
    /// Where the key is a credential of systemd: put the new key as a first line into it, restart, run this, and take the
    /// old line out. Copies of the old files (backups) still open with the old key: change the secrets too, where it was
    /// stolen.
    #[command(after_help = "Example:\n  archipel secret rotate-key")]
    RotateKey,

    /// Make a new site key, with which the daemon signs tokens and seals sessions from its next start on.
    ///
    /// What older keys signed stays good, so nobody is logged out: once that has run out (the session lifetime after the restart), or
    /// at once where a key was stolen, run this with --forget and restart again.
    #[command(
        after_help = "Examples:\n  archipel secret rotate-site-key && systemctl restart archipel\n  archipel secret rotate-site-key --forget && systemctl restart archipel"
    )]
    RotateSiteKey {
        /// Take the older keys out instead: what they signed is good no more after the next start.
        #[arg(long)]
        forget: bool,
    },
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn walk(command: &clap::Command) {
            assert!(command.is_hide_set() || command.get_about().is_some(), "{}", command.get_name());
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }
}
