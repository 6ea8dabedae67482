//! `archipel order`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::pair;

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
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("7d"), Ok(604_800));
        for wrong in ["", "90", "h", "1w", "-1s", "99999999d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
