//! `archipel audit`: who did what, who had an address, and whether the record of it is whole.

use std::sync::Arc;

use archipel_client::Client;
use archipel_model::SystemClock;
use archipel_model::audit::AuditLog;
use archipel_store::{Engine as _, SledEngine, SledOptions};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::DoorArgs;
use crate::commands::order::{escaped, text};
use crate::config::Config;
use crate::output::{Answer, Failure, Outcome, Printer, table};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List who did what, oldest first.
    #[command(
        after_help = "Examples:\n  archipel audit query --subject alice --from 2026-11-21T00:00:00Z\n  archipel audit query --order ID\n  archipel audit query --outcome denied --address 192.0.2.7 --output json"
    )]
    Query(AuditQueryArgs),

    /// Tell which order had an IP address at a time, whose it was, and where that user is at home.
    ///
    /// Also of orders that are closed and forgotten, for as long as the audit is kept. Exit code 1 where nobody had it.
    #[command(after_help = "Example:\n  archipel audit address 192.0.2.7 --at 2026-11-22T05:00:00Z")]
    Address {
        /// The address.
        address: std::net::IpAddr,
        /// When (RFC 3339); now where left out.
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },

    /// Print the newest record's place in the chain, to be noted somewhere else.
    Head,

    /// Tell whether the chain of records is whole, and where it is broken if it is not.
    ///
    /// Each record holds the hash of the one before, so one that was changed, removed, moved or put in between is found,
    /// and so are missing ones at the end, where the newest is noted. Whoever can write all of the store can also make a
    /// whole new chain: that shows only with a head that was noted elsewhere (`audit head`, then `verify --head`). Of what
    /// retention removed, the last record's hash is kept and the rest is verified from there.
    #[command(
        after_help = "Examples:\n  archipel audit verify\n  archipel audit verify --head 1206016:8a5f…\n  archipel audit verify --offline               the site is stopped"
    )]
    Verify {
        /// A head that was noted earlier: is it still in the chain?
        #[arg(long, value_name = "SEQUENCE:HASH")]
        head: Option<String>,
        /// Read the store itself, of a site that is stopped.
        #[arg(long)]
        offline: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AuditQueryArgs {
    /// From this time on (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Of users with this subject.
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// Of users of this issuer.
    #[arg(long)]
    pub(crate) issuer: Option<String>,
    /// About this order.
    #[arg(long, value_name = "ID")]
    pub(crate) order: Option<String>,
    /// Of this operation, as in create-compute (the ids of /openapi.json).
    #[arg(long)]
    pub(crate) operation: Option<String>,
    /// allowed, denied, refused or failed.
    #[arg(long)]
    pub(crate) outcome: Option<archipel_model::audit::Outcome>,
    /// From this address.
    #[arg(long)]
    pub(crate) address: Option<std::net::IpAddr>,
    /// At most so many.
    #[arg(long, default_value_t = 1000)]
    pub(crate) limit: usize,
}

/// Records that are verified at a time, offline.
const VERIFIED: usize = 20_000;

pub(crate) async fn run(command: &AuditCommand, door: &DoorArgs, printer: &Printer) -> Outcome {
    match command {
        AuditCommand::Query(args) => query(args, &door.client()?, printer).await,
        AuditCommand::Address { address, at } => {
            let at = at.as_ref().map(|at| format!("?at={}", escaped(at))).unwrap_or_default();
            let path = format!("/v1/admin/audit/addresses/{}{at}", escaped(&address.to_string()));
            let found = door.client()?.get(&path).await?.success()?;
            let items = items(&found);
            printer.say(&uses(&address.to_string(), &items), &found);
            Ok(if items.is_empty() { Answer::No } else { Answer::Yes })
        }
        AuditCommand::Head => {
            let head = door.client()?.get("/v1/admin/audit/head").await?.success()?;
            printer.say(&format!("{}:{}", number(&head, "sequence"), text(&head, "hash")), &head);
            Ok(Answer::Yes)
        }
        AuditCommand::Verify { head, offline: true } => offline(door, head.as_deref(), printer).await,
        AuditCommand::Verify { head, offline: false } => {
            verify(&door.client()?, head.as_deref(), printer).await
        }
    }
}

fn items(answer: &Value) -> Vec<&Value> {
    answer.get("items").and_then(Value::as_array).into_iter().flatten().collect()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

async fn query(args: &AuditQueryArgs, client: &Client, printer: &Printer) -> Outcome {
    let mut filters = String::new();
    let (outcome, address) =
        (args.outcome.map(|outcome| outcome.to_string()), args.address.map(|a| a.to_string()));
    for (name, value) in [
        ("from", &args.from),
        ("to", &args.to),
        ("subject", &args.subject),
        ("issuer", &args.issuer),
        ("order", &args.order),
        ("operation", &args.operation),
        ("outcome", &outcome),
        ("address", &address),
    ] {
        if let Some(value) = value {
            filters.push_str(&format!("&{name}={}", escaped(value)));
        }
    }
    let (mut found, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let left = args.limit.saturating_sub(found.len()).clamp(1, 1000);
        let after = cursor.as_ref().map(|cursor| format!("&cursor={}", escaped(cursor))).unwrap_or_default();
        let mut page =
            client.get(&format!("/v1/admin/audit?limit={left}{filters}{after}")).await?.success()?;
        found.extend(
            page.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).into_iter().flatten(),
        );
        cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() || found.len() >= args.limit {
            break;
        }
    }
    let shown = match found.is_empty() {
        true => "no such records".to_owned(),
        false => records(&found),
    };
    printer.say(&shown, &json!({"items": found, "next": cursor}));
    Ok(Answer::Yes)
}

fn records(found: &[Value]) -> String {
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|record| {
            let who = record.get("who").map(|who| text(who, "subject")).unwrap_or_default();
            let by: Vec<String> = record
                .get("decided_by")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|by| {
                    format!("{}@{}", text(by, "plugin"), text(by, "digest").get(..12).unwrap_or_default())
                })
                .collect();
            let many = number(record, "count");
            let operation = text(record, "operation");
            vec![
                text(record, "at").to_owned(),
                or_dash(who),
                or_dash(text(record, "address")),
                if many > 1 { format!("{operation} ×{many}") } else { operation.to_owned() },
                or_dash(match text(record, "order") {
                    "" => text(record, "on"),
                    order => order,
                }),
                text(record, "outcome").to_owned(),
                or_dash(&by.join(" ")),
                text(record, "reason").to_owned(),
            ]
        })
        .collect();
    table(&["AT", "WHO", "FROM", "OPERATION", "ORDER OR NAME", "OUTCOME", "DECIDED BY", "REASON"], &rows)
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn uses(address: &str, found: &[&Value]) -> String {
    if found.is_empty() {
        return format!("no order had {address} then, as far as this site knows");
    }
    let lines = found.iter().map(|used| {
        let owner = |name: &str| used.get("owner").map(|owner| text(owner, name)).unwrap_or_default().to_owned();
        let until = text(used, "until");
        format!(
            "order      {}\nuser       {} ({}, {})\nhome site  {}\ngroup      {}\ncloud      {}@{}, {} {}\nfrom       {} (seen {})\nuntil      {}",
            text(used, "order"),
            owner("name"),
            owner("subject"),
            owner("issuer"),
            text(used, "home_site"),
            or_dash(text(used, "group")),
            text(used, "cloud"),
            text(used, "site"),
            text(used, "kind"),
            text(used, "instance"),
            text(used, "from"),
            text(used, "seen"),
            if until.is_empty() { "now" } else { until },
        )
    });
    lines.collect::<Vec<_>>().join("\n\n")
}

/// Asks the site, piece by piece.
async fn verify(client: &Client, head: Option<&str>, printer: &Printer) -> Outcome {
    let head = head.map(|head| format!("&head={}", escaped(head))).unwrap_or_default();
    let (mut records, mut cursor) = (0, String::new());
    loop {
        let path =
            format!("/v1/admin/audit/verification?{}", format!("{cursor}{head}").trim_start_matches('&'));
        let mut found = client.get(&path).await?.success()?;
        records += number(&found, "records");
        match found.get("next").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={}", escaped(next)),
            None => {
                if let Some(found) = found.as_object_mut() {
                    found.insert("records".to_owned(), json!(records));
                }
                return Ok(told(&found, printer));
            }
        }
    }
}

/// Reads the store itself.
async fn offline(door: &DoorArgs, head: Option<&str>, printer: &Printer) -> Outcome {
    archipel_store::quiet_panics();
    let noted = head.map(noted).transpose()?;
    let config = Config::load(&door.config)?;
    let dir = config.site.data_dir.join("store");
    let engine = SledEngine::open_existing(&dir, SledOptions::default()).map_err(Failure::environment)?;
    let audit = archipel_store::upkeep::audit_of(engine.clone(), Arc::new(SystemClock));
    let found = walked(&*audit, noted).await;
    engine.close().await;
    Ok(told(&found.map_err(Failure::environment)?, printer))
}

fn noted(head: &str) -> Result<(u64, String), Failure> {
    let read = || {
        let (sequence, hash) = head.split_once(':')?;
        Some((sequence.parse().ok()?, hash.to_owned()))
    };
    read().ok_or_else(|| {
        Failure::environment("--head: write SEQUENCE:HASH, as `archipel audit head` prints them")
    })
}

async fn walked(audit: &dyn AuditLog, noted: Option<(u64, String)>) -> Result<Value, archipel_model::Error> {
    let (mut after, mut records) = (None, 0);
    let walk = loop {
        let walk = audit.walk(after, VERIFIED).await?;
        records += walk.records;
        if walk.is_ended || walk.broken.is_some() {
            break walk;
        }
        after = Some(walk.upto);
    };
    let head_holds = match &noted {
        Some((sequence, hash)) => audit.holds(*sequence, hash).await?,
        None => None,
    };
    let upto = json!({"sequence": walk.upto.sequence, "hash": walk.upto.hash, "records": walk.upto.count});
    let ok = walk.broken.is_none() && head_holds != Some(false);
    Ok(
        json!({"ok": ok, "records": records, "upto": upto, "broken": walk.broken, "head_holds": head_holds, "next": null}),
    )
}

fn told(found: &Value, printer: &Printer) -> Answer {
    let is_whole = found.get("ok").and_then(Value::as_bool).unwrap_or_default();
    let upto = found.get("upto").cloned().unwrap_or_default();
    let place = format!("{}:{}", number(&upto, "sequence"), text(&upto, "hash"));
    let mut lines = match found.get("broken").filter(|broken| !broken.is_null()) {
        Some(broken) => {
            vec![format!("BROKEN at record {}: {}", number(broken, "sequence"), text(broken, "what"))]
        }
        None => {
            vec![format!("{} records follow one another; the newest is {place}", number(found, "records"))]
        }
    };
    match found.get("head_holds").and_then(Value::as_bool) {
        Some(true) => lines.push("the head that was noted is in the chain".to_owned()),
        Some(false) => {
            lines.push("the head that was noted is NOT in the chain: records after it were taken away, or all was made anew".to_owned());
        }
        None => {}
    }
    printer.say(&lines.join("\n"), found);
    if is_whole { Answer::Yes } else { Answer::No }
}
