//! Every figure that the engine goes by: name, default, and what it is for. Durations are milliseconds or seconds, as
//! the name says. `settle` is not here: each driver states its own.

use std::time::Duration;

use archipel_model::{CloudName, Owner, SiteId};
use serde::{Deserialize, Serialize};

/// What the daemon tells the engine.
#[derive(Clone, Debug)]
pub struct OrdersConfig {
    /// This site.
    pub site: SiteId,
    /// Who claims the queues. Unique among daemons that run over one store at the same time; a daemon that is restarted
    /// under the same name takes its queues back at once instead of waiting for its old claims to run out.
    pub daemon: String,
    /// `[[limit]]` of the site file.
    pub limits: Vec<LimitRule>,
    /// The figures.
    pub settings: Settings,
}

/// Whose orders a `user` limit counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"*\" or { issuer = \"…\", subject = \"…\" }")]
pub enum LimitUser {
    /// This user's.
    One(Owner),
    /// `"*"`: each user's that no rule of its own names.
    Every(Star),
}

/// Whose orders a `group` limit counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"*\" or a group's name in quotes")]
pub enum LimitGroup {
    /// `"*"`: each group's that no rule of its own names.
    Every(Star),
    /// This group's.
    One(String),
}

/// The word `"*"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Star {
    /// All of them, each by itself.
    #[serde(rename = "*")]
    Star,
}

/// One `[[limit]]`: exactly one of `user`, `group` and `cloud`, and at least one amount.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitRule {
    /// `"*"` or `{ issuer, subject }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<LimitUser>,
    /// `"*"` or a group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<LimitGroup>,
    /// A cloud's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<CloudName>,
    /// Orders that are not closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u64>,
    /// Virtual CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpu: Option<u64>,
    /// Memory in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_mib: Option<u64>,
    /// Storage in GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gib: Option<u64>,
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr,)*) => {
        /// The figures, each with its default.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Settings {
            $($(#[$doc])* pub $name: $type,)*
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }
    };
}

settings! {
    /// First look at an instance that is being made or deleted, where the driver gives no hint.
    poll_first_ms: u64 = 500,
    /// Steady period between looks; looks back off to it, with jitter.
    poll_steady_ms: u64 = 30_000,
    /// No look sooner than this after the last, whatever a driver hints: bounds the calls of one order.
    poll_least_ms: u64 = 100,
    /// So many looks at instances of one account and kind that are due about the same time, and two for each page of their
    /// list, are one list where the driver has it; 0 = always one by one.
    list_from: usize = 8,
    /// What is due within so long counts as due about the same time.
    list_window_ms: u64 = 4_000,
    /// First back-off after a create that failed transiently.
    retry_first_ms: u64 = 1_000,
    /// Longest back-off of a create.
    retry_most_ms: u64 = 300_000,
    /// Longest `Retry-After` that is believed: protects from a cloud that says "next year".
    retry_after_most_ms: u64 = 3_600_000,
    /// Between retries of what failed for good but may not be given up: a refused delete, a lost account.
    slow_retry_ms: u64 = 600_000,
    /// A delete that was accepted but does nothing is asked for again after so long.
    delete_again_ms: u64 = 60_000,
    /// A power action that the cloud has not ended after so long is given up: the order goes back to the state before, with a fault.
    power_timeout_ms: u64 = 600_000,
    /// One call to a mapper or driver may take so long; the runtime's own deadline is shorter. Protects the queue's slots.
    call_timeout_ms: u64 = 300_000,
    /// Calls in a row that a cloud does not answer, after which it is only probed: its slots and its users' patience are spared.
    breaker_from: u64 = 5,
    /// It is probed first after so long, ...
    breaker_first_ms: u64 = 1_000,
    /// ... then after twice as long each time, up to this.
    breaker_most_ms: u64 = 30_000,
    /// Orders of one cloud that it was never asked for; more are refused (429): a queue that only grows helps nobody, and
    /// each order in it is memory.
    backlog_most: usize = 10_000,
    /// Refused for a backlog, a client is told to come back after so long.
    backlog_retry_ms: u64 = 10_000,
    /// Instances that one sweep of a cloud lists in its report and, where the cloud is set so, deletes; more are only counted.
    sweep_most: usize = 1_000,
    /// A claim on a queue holds so long, renewed at a third of it. A daemon that died frees its queues after it.
    claim_ttl_ms: u64 = 10_000,
    /// An order is deleted so long after its lease ended.
    lease_grace_ms: u64 = 300_000,
    /// Longest lease that can be asked for.
    lease_most_s: u64 = 10 * 366 * 86_400,
    /// A local token is renewed so long before it ends (or at three quarters of a short life).
    token_margin_ms: u64 = 60_000,
    /// A local token without an end is renewed after so long.
    token_age_ms: u64 = 1_800_000,
    /// A mapper's refusal is given to others so long: bounds the calls when many orders share an account.
    token_refusal_ms: u64 = 1_000,
    /// Local tokens kept at once.
    tokens_most: u64 = 10_000,
    /// Closed orders answer `closed` for so long.
    closed_retention_s: u64 = 30 * 86_400,
    /// Events are kept so long.
    event_retention_s: u64 = 30 * 86_400,
    /// Idempotency keys are kept so long.
    idempotency_retention_s: u64 = 86_400,
    /// Between two rounds of forgetting.
    forget_every_s: u64 = 600,
    /// Orders, events and keys forgotten in one commit's round, each.
    forget_batch: usize = 500,
    /// Orders read per page when a queue is loaded, and events read per page when they are followed.
    page: usize = 500,
    /// A start spreads the first looks at settled orders over so long.
    spread_ms: u64 = 30_000,
    /// A stop waits so long for calls in flight and their writes.
    stop_grace_ms: u64 = 30_000,
    /// Commits of one bulk request at a time; they share flushes.
    bulk_parallel: usize = 64,
    /// Labels of one order.
    labels_most: usize = 64,
}

impl Settings {
    /// `ms` as a duration.
    pub(crate) fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
}
