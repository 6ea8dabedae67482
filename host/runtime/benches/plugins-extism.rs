//! The same authorization in Extism, in the same run: the policy of `authz-roles`, its very files, as a plugin of ours and as
//! one of Extism's (`extism/`).
//!
//! | | ours | baseline |
//! |---|---|---|
//! | sandbox | a component, values typed by the WIT | a module, JSON in and out |
//! | extism-fresh | a fresh instance per call, from the snapshot that `init` left | `Plugin::new_from_compiled` per call, which reads its configuration again |
//! | extism-warm | the same: ours is never kept | one plugin, called again and again; what one user's call left is there in the next |
//! | bounds | deadline, memory, table, handles, host calls, grants, supervision, figures | deadline, memory |
//!
//! Extism brings its own wasmtime, so it runs in a process of its own (`extism/src/main.rs`), and both take turns of some
//! calls. Each times itself, from typed values to a typed decision; the pipe between them is in neither.

mod asked;
mod figures;
mod site;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use archipel_model::FederationUser;
use archipel_model::plugin::{Context, Decision, Operation, Reach, Resource};
use serde_json::{Value, json};

use crate::figures::{percentile, row, timed};
use crate::site::{Result, Site};

/// As the daemon's, and the other side's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where xtask has put the other side.
const HOST: &str = "ARCHIPEL_EXTISM_HOST";
const GUEST: &str = "ARCHIPEL_EXTISM_GUEST";

/// Turns, and calls of each side in one; the first turns warm both sides up and are left out.
const TURNS: usize = 60;
const WARM_UP: usize = 5;
const CALLS: usize = 50;

fn main() -> Result<()> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let site = tokio.block_on(Site::start(0))?;
    let mut extism = Extism::start(&site.roles())?;
    let alice = asked::alice(&site);
    for (suffix, user) in [("", alice.clone()), ("-10KiB", asked::with_attributes(alice))] {
        let resource = asked::compute(&site, &user);
        let question = Arc::new((user, resource, site.context(Operation::Read)));
        tokio.block_on(compare(&site, &mut extism, suffix, &question))?;
    }
    extism.stop()?;
    tokio.block_on(site.stop());
    Ok(())
}

type Question = (FederationUser, Resource, Context);

async fn compare(site: &Site, extism: &mut Extism, suffix: &str, question: &Arc<Question>) -> Result<()> {
    let json = as_json(question);
    let [mut ours, mut fresh, mut usual, mut warm]: [Vec<f64>; 4] = Default::default();
    for turn in 0..TURNS + WARM_UP {
        let all = [
            ask(site, question).await?,
            extism.ask("fresh", &json)?,
            extism.ask("fresh-usual", &json)?,
            extism.ask("warm", &json)?,
        ];
        if turn >= WARM_UP {
            for (into, of) in [&mut ours, &mut fresh, &mut usual, &mut warm].into_iter().zip(all) {
                into.extend(of);
            }
        }
    }
    let with = if suffix.is_empty() { "" } else { ", with 10 KiB of the user's attributes" };
    let tell = |id: &str, what: String, baseline: &[f64]| {
        row(&json!({
            "id": format!("{id}{suffix}"), "what": what, "ours": percentile(&ours, 50),
            "baseline": percentile(baseline, 50), "unit": "us", "goal": null, "p99_ours": percentile(&ours, 99),
            "p99_baseline": percentile(baseline, 99), "turns": ours.len(),
            "baseline_usual_engine": percentile(&usual, 50),
        }));
    };
    tell(
        "extism-fresh",
        format!("a fresh instance per call, over a fresh plugin per call in Extism{with}"),
        &fresh,
    );
    tell(
        "extism-warm",
        format!("a fresh instance per call, over one plugin of Extism that is kept{with}"),
        &warm,
    );
    Ok(())
}

/// Our side's share of a turn, in microseconds.
async fn ask(site: &Site, question: &Arc<Question>) -> Result<Vec<f64>> {
    let (plugin, question) = (site.policy("authz-roles")?, Arc::clone(question));
    // On a worker, as a request handler is.
    let work = tokio::spawn(async move {
        let (user, resource, context) = &*question;
        let mut us = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let (took, decision) = timed(plugin.is_authorized(user, resource, context)).await;
            if !matches!(decision?, Decision::Allow { reach: Reach::Own, .. }) {
                return Err("our side decided otherwise".into());
            }
            us.push(took.as_secs_f64() * 1e6);
        }
        Result::Ok(us)
    });
    work.await?
}

/// The other side.
struct Extism {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Extism {
    fn start(policy: &Value) -> Result<Self> {
        let path = |name: &str| {
            std::env::var_os(name)
                .ok_or_else(|| format!("{name} is not set; `cargo xtask bench plugins` builds it"))
        };
        let mut child = Command::new(path(HOST)?)
            .arg(path(GUEST)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = (input.ok_or("no pipe")?, BufReader::new(output.ok_or("no pipe")?));
        let mut extism = Self { child, input, output };
        extism.say(&json!({"policy": policy.to_string()}))?;
        Ok(extism)
    }

    fn say(&mut self, line: &Value) -> Result<()> {
        Ok(writeln!(self.input, "{line}")?)
    }

    /// Its share of a turn, in microseconds.
    #[allow(clippy::indexing_slicing, reason = "JSON: what is not there is null")]
    fn ask(&mut self, way: &str, question: &Value) -> Result<Vec<f64>> {
        self.say(&json!({"way": way, "calls": CALLS, "question": question}))?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let told: Value =
            serde_json::from_str(&line).map_err(|error| format!("Extism's side: {error}: {line}"))?;
        if told["decision"] != json!({"allow": {"reach": "own", "obligations": [], "valid_for_ms": null}}) {
            return Err(format!("Extism's side decided otherwise: {}", told["decision"]).into());
        }
        Ok(serde_json::from_value(told["us"].clone())?)
    }

    fn stop(mut self) -> Result<()> {
        drop(self.input);
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("Extism's side ended with {status}").into()) }
    }
}

/// The records of the WIT as `extism/guest/src/types.rs` has them.
fn as_json((user, resource, context): &Question) -> Value {
    let owner =
        resource.owner.as_ref().map(|owner| json!({"issuer": owner.issuer, "subject": owner.subject}));
    json!({
        "user": {
            "issuer": user.issuer, "subject": user.subject, "name": user.name, "email": user.email,
            "groups": user.groups, "entitlements": user.entitlements, "attributes": user.attributes,
            "home_site": user.home_site, "assurance": user.assurance,
            "authenticated_at": user.authenticated_at.as_millis(),
            "expires_at": user.expires_at.map(|at| at.as_millis()),
        },
        "resource": {
            "kind": resource.kind, "id": resource.id, "cloud": resource.cloud, "site": resource.site, "owner": owner,
            "group": resource.group, "state": resource.state, "labels": resource.labels,
            "spec": resource.spec.as_ref().map(Value::to_string),
        },
        "context": {
            "request_id": context.request_id, "now": context.now.as_millis(),
            "operation": context.operation.as_str(), "this_site": context.this_site,
            "requesting_site": context.requesting_site, "client_address": context.client_address,
            "group": context.group,
        },
    })
}
