//! The command line. The help texts are for the person who has never seen it: each says what happens and shows one.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::DEFAULT_FILE;

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
pub(crate) enum OrderCommand {
    /// Order something.
    #[command(
        after_help = "Examples:\n  archipel order create compute --image @debian --vcpu 2 --ram-mib 4096 --name web --wait\n  archipel order create volume --size-gib 10 --label project=p7\n  archipel order create attachment --compute ID --volume ID\n  archipel order create compute -f web.json"
    )]
    Create(Box<CreateArgs>),

    /// List orders that are not closed.
    #[command(
        after_help = "Example:\n  archipel order list --kind compute --state fulfilled --label project=p7"
    )]
    List(ListArgs),

    /// Show one order.
    Show {
        /// The order.
        id: String,
        /// Ask the cloud first.
        #[arg(long)]
        refresh: bool,
    },

    /// Follow an order until it is settled: fulfilled, failed, closed, or in a steady power state.
    ///
    /// Exit code 0 unless it failed.
    Watch {
        /// The order.
        id: String,
    },

    /// Show which requests left the site for an order: to whom, how much, how they ended. For administrators.
    Egress {
        /// The order.
        id: String,
    },

    /// Freeze a machine in memory; `resume` wakes it.
    Pause(ActArgs),

    /// Wake a machine that was paused or hibernated.
    Resume(ActArgs),

    /// Shut a machine down; it keeps its disks and addresses, and `start` starts it again.
    #[command(after_help = "Example:\n  archipel order stop ID --wait")]
    Stop(ActArgs),

    /// Start a machine that was stopped.
    Start(ActArgs),

    /// Shut a machine down and start it.
    Reboot(ActArgs),

    /// Save a machine to disk; `resume` wakes it.
    Hibernate(ActArgs),

    /// Delete an order, and with it what the cloud made.
    #[command(after_help = "Example:\n  archipel order delete ID --cascade --wait")]
    Delete {
        /// The order.
        id: String,
        /// Delete what rests on it too, first.
        #[arg(long)]
        cascade: bool,
        /// Only list what would be deleted.
        #[arg(long)]
        dry_run: bool,
        /// Wait until it is gone.
        #[arg(long, conflicts_with = "dry_run")]
        wait: bool,
    },

    /// Give up an order whose deletion does not end, for the administrator: what its cloud may still hold is left there.
    #[command(after_help = "Example:\n  archipel order forget ID --reason 'the cloud was scrapped'")]
    Forget {
        /// The order; it must be closing.
        id: String,
        /// Why; kept in the order's events.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ActArgs {
    /// The order of the machine.
    pub(crate) id: String,
    /// Wait until it is so; exit code 1 where it came to nothing.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// compute, volume, network or attachment.
    pub(crate) kind: archipel_model::order::Kind,

    /// The body of the request as JSON; options below are put over it.
    #[arg(long, value_name = "JSON", conflicts_with = "file")]
    pub(crate) spec_json: Option<String>,

    /// The body of the request from a file; `-` reads standard input.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// A name for people.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The cloud; may be left out where the site has one.
    #[arg(long)]
    pub(crate) cloud: Option<String>,
    /// The group it is for.
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// A label; may be given again.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
    /// Delete it after so long, as in 90s, 30m, 12h or 7d.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) lease: Option<u32>,

    /// Compute: an image by id, or by alias as @debian.
    #[arg(long, help_heading = "Computes")]
    pub(crate) image: Option<String>,
    /// Compute: a size by id, instead of the amounts.
    #[arg(long, help_heading = "Computes")]
    pub(crate) spec: Option<String>,
    /// Compute: at least so many virtual processors.
    #[arg(long, help_heading = "Computes")]
    pub(crate) vcpu: Option<u32>,
    /// Compute: at least so much memory in MiB.
    #[arg(long, help_heading = "Computes")]
    pub(crate) ram_mib: Option<u64>,
    /// Compute: at least so much disk in GiB.
    #[arg(long, help_heading = "Computes")]
    pub(crate) disk_gib: Option<u64>,
    /// Compute: a network that was ordered, by its order; may be given again.
    #[arg(long = "network", value_name = "ORDER", help_heading = "Computes")]
    pub(crate) networks: Vec<String>,
    /// Compute: a network that the cloud has, by its id there; may be given again.
    #[arg(long = "cloud-network", value_name = "ID", help_heading = "Computes")]
    pub(crate) cloud_networks: Vec<String>,
    /// Compute: a file with an SSH public key.
    #[arg(long, value_name = "FILE", help_heading = "Computes")]
    pub(crate) public_key: Option<PathBuf>,
    /// Compute: a file with user data for cloud-init.
    #[arg(long, value_name = "FILE", help_heading = "Computes")]
    pub(crate) user_data: Option<PathBuf>,

    /// Volume: its size in GiB.
    #[arg(long, help_heading = "Volumes, networks, attachments")]
    pub(crate) size_gib: Option<u64>,
    /// Network: its address range, as in 10.0.0.0/24.
    #[arg(long, help_heading = "Volumes, networks, attachments")]
    pub(crate) cidr: Option<String>,
    /// Network: its gateway.
    #[arg(long, help_heading = "Volumes, networks, attachments")]
    pub(crate) gateway: Option<String>,
    /// Attachment: the compute's order.
    #[arg(long, value_name = "ORDER", help_heading = "Volumes, networks, attachments")]
    pub(crate) compute: Option<String>,
    /// Attachment: the volume's order.
    #[arg(long, value_name = "ORDER", help_heading = "Volumes, networks, attachments")]
    pub(crate) volume: Option<String>,
    /// Attachment: a hint for the device's name.
    #[arg(long, help_heading = "Volumes, networks, attachments")]
    pub(crate) device: Option<String>,

    /// Asked again with the same key, the site gives the same answer instead of a second order.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Follow it until it is settled, as `order watch` does.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only this kind.
    #[arg(long)]
    pub(crate) kind: Option<archipel_model::order::Kind>,
    /// Only this state; `closed` orders are listed only when asked for.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only this cloud.
    #[arg(long)]
    pub(crate) cloud: Option<String>,
    /// Only with this label.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) label: Option<(String, String)>,
    /// At most so many.
    #[arg(long, default_value_t = 1000)]
    pub(crate) limit: usize,
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

/// `archipel plugin install`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  archipel plugin install my_mapper.wasm                    with my_mapper.wasm.minisig, if that is beside it\n  archipel plugin install oci://ghcr.io/example/my-mapper:1.0\n\nARCHIPEL_REGISTRY_USER and ARCHIPEL_REGISTRY_PASSWORD log in to a registry."
)]
pub(crate) struct InstallArgs {
    /// A file, or oci://HOST/REPOSITORY:TAG (or @sha256:...).
    pub(crate) source: String,
    /// The plugin's name at this site; that of the file or the repository where left out.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Its signature, where it is not beside the file or in the registry.
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: Option<PathBuf>,
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
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// List the plugins of a running site, refused ones with the reason.
    List {
        /// A line for every function instead: calls by outcome, how long they took, memory.
        #[arg(long)]
        functions: bool,
    },

    /// Show what a plugin's failures left behind: where it was, its last log lines and host calls, its memory.
    #[command(
        after_help = "Examples:\n  archipel plugin evidence cloud-openstack\n  archipel plugin evidence cloud-openstack --output json > bundle.json"
    )]
    Evidence {
        /// The plugin.
        name: String,
    },

    /// Write a crate that is a plugin: it builds, tests and runs as it is.
    #[command(
        after_help = "Example:\n  archipel plugin new --kind authorization night-shift\n  cd night-shift && cargo test"
    )]
    New(crate::commands::plugin::new::NewArgs),

    /// Run the contract tests of a plugin's interfaces in the real runtime, without a site.
    ///
    /// What it asks for is granted, its clock stands still until it is turned, random numbers repeat, and HTTP comes from a
    /// recording. Exit code 1 where the contract does not hold.
    #[command(
        after_help = "Examples:\n  archipel plugin test target/wasm32-wasip2/release/night_shift.wasm --case tests/case.json\n  archipel plugin test my_cloud.wasm --case tests/case.json --record tests/exchanges.json"
    )]
    Test(crate::commands::plugin::test::TestArgs),

    /// Put a manifest into a component that another language's compiler made.
    #[command(
        after_help = "Example:\n  archipel plugin embed hours.wasm --manifest manifest.json --out hours-in-javascript.wasm"
    )]
    Embed(crate::commands::plugin::embed::EmbedArgs),

    /// Tell whether a .wasm file is a plugin that this host takes, without running it.
    #[command(after_help = "Example:\n  archipel plugin check target/wasm32-wasip2/release/my_mapper.wasm")]
    Check {
        /// The file.
        file: PathBuf,
    },

    /// Put a plugin with its signature into the site's folder, from a file or from an OCI registry.
    ///
    /// It is checked first, and its signature is judged by [signatures] of the site file; what would be refused is not
    /// installed. A running site takes it at once, as far as its grant allows.
    Install(InstallArgs),

    /// Show what a .wasm file or a dropped plugin is: what it does, would be able to do, lacks, and how to mend it.
    Explain {
        /// A file, or the name of a plugin in the site's folder.
        plugin: String,
    },

    /// Show what a plugin asks for, what granting it means, and the lines for the site file.
    #[command(
        after_help = "Examples:\n  archipel plugin grant cloud-openstack           show it\n  archipel plugin grant cloud-openstack --write   and write it into the site file"
    )]
    Grant {
        /// The plugin's name: the file's, without .wasm.
        name: String,
        /// Write the lines into the site file; comments and order are kept.
        #[arg(long)]
        write: bool,
    },

    /// Put a new version beside the one that serves: it is asked the same, after it, and not heard. Without a file, tell
    /// what it said.
    ///
    /// For authorization, for mappers (`map-user`, never `get-token`) and for what drivers only look at (quota, specs, images,
    /// networks). It has the grant of the plugin, changes nothing, and costs no caller any time.
    #[command(
        after_help = "Examples:\n  archipel plugin shadow authz-roles target/wasm32-wasip2/release/authz_roles.wasm\n  archipel plugin shadow authz-roles\n  archipel plugin promote authz-roles"
    )]
    Shadow {
        /// The plugin that serves.
        name: String,
        /// The new version.
        file: Option<PathBuf>,
    },

    /// Put the version that stands in a plugin's shadow in its place. Refused where it ever said something else, or nothing.
    Promote {
        /// The plugin that serves.
        name: String,
        /// Although it said something else.
        #[arg(long)]
        anyway: bool,
    },

    /// Take the version away that stands in a plugin's shadow.
    Drop {
        /// The plugin that serves.
        name: String,
    },

    /// Make a running site look at its plugins again, now.
    Reload {
        /// One plugin; all where left out.
        name: Option<String>,
    },

    /// Switch a plugin of a running site off.
    Quarantine {
        /// The plugin.
        name: String,
        /// Why, for the record.
        #[arg(long, default_value = "by hand")]
        reason: String,
    },

    /// Switch a quarantined plugin on again.
    Release {
        /// The plugin.
        name: String,
    },
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || "write a number and s, m, h or d, as in 12h".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: u32 = text.strip_suffix(unit).unwrap_or(text).parse().map_err(|_| wrong())?;
    let each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(each).ok_or_else(|| "too long".to_owned())
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
    fn times_are_read_with_their_unit() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("7d"), Ok(604_800));
        for wrong in ["", "90", "h", "1w", "-1s", "99999999d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
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
