//! `cargo xtask bench clouds`: machines made through Archipel beside the same made by others, on the same cloud in the same
//! run, each through ports that count requests. Everybody asks for the same: the image by its name, the smallest flavour,
//! one network, and waits until the machine is ACTIVE.
//!
//! | row | ours | baseline |
//! |---|---|---|
//! | P7 | requests per machine, polls apart, caches warm | 1: the create itself |
//! | P7-sdk, P7-libcloud | the same | openstacksdk, Apache Libcloud |
//! | one-sdk, one-libcloud | seconds from asking to ACTIVE, one machine after the other | the same two |
//! | many | seconds until all of a swarm, ordered in one request, are fulfilled | what the cloud needs for as many: 16 creates at a time and one list a half-second |
//! | many-sdk | the same | openstacksdk with 16 threads, each waiting for its own |

mod itself;
mod ours;
mod theirs;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use archipel_tests::openstack::counter::{Call, Counter, tally};
use archipel_tests::openstack::peer::Peer;
use serde_json::{Value, json};

/// Where the cloud is.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The folder with `up` and `down`.
    #[arg(long)]
    peer: PathBuf,
    /// The state folder that `up` was given.
    #[arg(long)]
    state: PathBuf,
    /// A Python with openstacksdk and Apache Libcloud.
    #[arg(long)]
    python: PathBuf,
    /// Machines one after the other.
    #[arg(long, default_value_t = 6)]
    single: usize,
    /// Machines at once.
    #[arg(long, default_value_t = 50)]
    swarm: usize,
}

/// What somebody needed for machines one after the other.
struct Singles {
    /// From asking to ACTIVE, for each.
    took: Vec<Duration>,
    /// What passed meanwhile.
    calls: Vec<Call>,
}

impl Singles {
    /// Requests per machine, without those that only look at it.
    fn calls_per_machine(&self) -> f64 {
        let asked = self.calls.iter().filter(|call| !call.is_poll()).count();
        asked as f64 / self.took.len() as f64
    }

    /// The median.
    fn seconds(&self) -> f64 {
        let mut all: Vec<f64> = self.took.iter().map(Duration::as_secs_f64).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    }

    fn tell(&self, who: &str) {
        println!("{who}: {}", tally(&self.calls));
    }
}

/// How many machines warm the caches, unmeasured.
const WARM_UP: usize = 1;

/// Measures.
pub(crate) async fn run(options: Options) -> Result<bool> {
    let peer = Peer::read(&options.peer, &options.state)?;
    let counter = Counter::start(&peer).await?;
    let measured = measure(&options, &peer, &counter).await;
    counter.stop().await?;
    measured.map(|()| true)
}

async fn measure(options: &Options, peer: &Peer, counter: &Counter) -> Result<()> {
    let site = ours::Ours::start(peer, counter).await?;
    let python = theirs::Theirs { python: &options.python, scripts: &options.peer };
    let ours = site.singles(counter, options.single).await?;
    let sdk = python.singles("openstacksdk", counter, options.single).await?;
    let libcloud = python.singles("libcloud", counter, options.single).await?;
    for (who, singles) in [("archipel", &ours), ("openstacksdk", &sdk), ("libcloud", &libcloud)] {
        singles.tell(who);
        ensure!(singles.took.len() == options.single, "{who} made {} machines", singles.took.len());
    }
    let per = |singles: &Singles| singles.calls_per_machine();
    row(
        "P7",
        "requests per created machine, polls apart, over the one that makes it",
        per(&ours),
        1.0,
        "requests",
        Some("<=3"),
    );
    row(
        "P7-sdk",
        "requests per created machine beside openstacksdk",
        per(&ours),
        per(&sdk),
        "requests",
        None,
    );
    row(
        "P7-libcloud",
        "requests per created machine beside Apache Libcloud",
        per(&ours),
        per(&libcloud),
        "requests",
        None,
    );
    row("one-sdk", "from asking to ACTIVE beside openstacksdk", ours.seconds(), sdk.seconds(), "s", None);
    row(
        "one-libcloud",
        "from asking to ACTIVE beside Apache Libcloud",
        ours.seconds(),
        libcloud.seconds(),
        "s",
        None,
    );

    let many = options.swarm;
    let itself = itself::swarm(counter, many).await?.as_secs_f64();
    let ours = site.swarm(many).await?.as_secs_f64();
    println!("archipel, {many} at once: {}", tally(&counter.take()));
    let sdk = python.swarm(counter, many).await?.as_secs_f64();
    row("many", &format!("{many} machines at once over what the cloud needs"), ours, itself, "s", None);
    row(
        "many-sdk",
        &format!("{many} machines at once beside openstacksdk with 16 threads"),
        ours,
        sdk,
        "s",
        None,
    );
    site.stop().await
}

fn row(id: &str, what: &str, ours: f64, baseline: f64, unit: &str, goal: Option<&str>) {
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    let mut row =
        json!({"id": id, "what": what, "ours": round(ours), "baseline": round(baseline), "unit": unit});
    if let Some(goal) = goal {
        row["goal"] = Value::from(goal);
    }
    println!("archipel-bench: {row}");
}
