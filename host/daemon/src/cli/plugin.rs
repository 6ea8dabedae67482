//! `archipel plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `archipel plugin install`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  archipel plugin install my_mapper.wasm                    with my_mapper.wasm.minisig, if that is beside it\n  archipel plugin install oci://ghcr.io/example/my-mapper:1.0\n\nARCHIPEL_REGISTRY_USER and ARCHIPEL_REGISTRY_PASSWORD log in to a registry. It is asked over TLS, one on this machine only with --ca."
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
    /// Authorities (PEM) that a registry's certificate may come from, besides the machine's; `site.outgoing_ca` where left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
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
        /// Accept this version, though it asks for more than those that served before, or is pinned.
        #[arg(long)]
        accept: bool,
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
