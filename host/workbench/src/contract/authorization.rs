//! `archipel:aaa/authorization`.

use std::sync::Arc;

use archipel_model::OrderId;
use archipel_model::plugin::{Authorization, Decision, Operation, Resource};

use super::{answered, context, strange_user};
use crate::bench::Workbench;
use crate::report::{Report, Tested, ensure, fail, skip};

const INTERFACE: &str = "authorization";

/// Everything that can be done.
const OPERATIONS: [Operation; 8] = [
    Operation::Login,
    Operation::Create,
    Operation::Read,
    Operation::List,
    Operation::Update,
    Operation::Delete,
    Operation::Act,
    Operation::Admin,
];

/// Everything that it can be done to, and a kind that a later host may know.
const KINDS: [&str; 13] = [
    "compute",
    "volume",
    "network",
    "attachment",
    "cloud",
    "spec",
    "image",
    "quota",
    "event",
    "order",
    "session",
    "admin",
    "something-new",
];

/// The words that the host understands; any other means deny.
const OBLIGATIONS: [&str; 5] = ["max-lease", "add-labels", "redact", "step-up", "log"];

/// Tries all of it.
pub(super) async fn check(bench: &Workbench, report: &mut Report) {
    let generation = bench.generation();
    let Some(link) = generation.authorization.first() else { return };
    let plugin = Arc::clone(&link.plugin);
    let questions: Vec<(Operation, Resource)> = OPERATIONS
        .iter()
        .flat_map(|operation| KINDS.map(|kind| (*operation, resource(bench, kind))))
        .collect();
    let answers = decided(bench, &*plugin, &questions).await;
    let Some(answers) = report.note(INTERFACE, "every operation on every kind is decided", answers) else {
        return;
    };
    report.note(
        INTERFACE,
        "the same question gets the same decision",
        again(bench, &*plugin, &questions, &answers).await,
    );
    report.note(
        INTERFACE,
        "many at once are decided as one by one",
        at_once(bench, &*plugin, &questions, &answers).await,
    );
    report.note(
        INTERFACE,
        "its obligations are those that the host understands",
        known_obligations(&answers),
    );
    report.note(INTERFACE, "a refusal says what to do", reasons(&questions, &answers));
    report.note(INTERFACE, "strange users and specs do not break it", strange(bench, &*plugin).await);
}

fn resource(bench: &Workbench, kind: &str) -> Resource {
    Resource {
        kind: kind.to_owned(),
        id: Some(OrderId::from_bytes([7; 16])),
        cloud: Some(crate::case::CLOUD.to_owned()),
        site: bench.site.clone(),
        owner: Some(bench.case.user().owner()),
        group: bench.case.user.groups.first().cloned(),
        state: Some("fulfilled".to_owned()),
        labels: vec![("project".to_owned(), "p7".to_owned())],
        spec: kind.parse().ok().map(|kind| bench.case.spec(kind)),
        owner_usage: Some(archipel_model::plugin::Usage::default()),
        group_usage: None,
    }
}

async fn decided(
    bench: &Workbench,
    plugin: &dyn Authorization,
    questions: &[(Operation, Resource)],
) -> Tested<Vec<Decision>> {
    let user = bench.case.user();
    let mut answers = Vec::with_capacity(questions.len());
    for (operation, resource) in questions {
        let what = format!("{} on {}", operation.as_str(), resource.kind);
        let answer = plugin.is_authorized(&user, resource, &context(bench, *operation)).await;
        match answered(&what, answer)? {
            Ok(decision) => answers.push(decision),
            Err(error) => {
                return fail(format!("{what} is an error and no decision: {error}; a refusal is a deny"));
            }
        }
    }
    Ok(answers)
}

async fn again(
    bench: &Workbench,
    plugin: &dyn Authorization,
    questions: &[(Operation, Resource)],
    before: &[Decision],
) -> Tested {
    let now = decided(bench, plugin, questions).await?;
    let other = questions.iter().zip(before.iter().zip(&now)).find(|(_, (before, now))| before != now);
    match other {
        None => Ok(()),
        Some(((operation, resource), (before, now))) => {
            fail(format!("{} on {}: {before:?}, then {now:?}", operation.as_str(), resource.kind))
        }
    }
}

async fn at_once(
    bench: &Workbench,
    plugin: &dyn Authorization,
    questions: &[(Operation, Resource)],
    before: &[Decision],
) -> Tested {
    let user = bench.case.user();
    for operation in OPERATIONS {
        let asked = questions.iter().zip(before).filter(|((of, _), _)| *of == operation);
        let (resources, wanted): (Vec<Resource>, Vec<Decision>) =
            asked.map(|((_, resource), decision)| (resource.clone(), decision.clone())).unzip();
        let answer = plugin.are_authorized(&user, &resources, &context(bench, operation)).await;
        match answered(operation.as_str(), answer)? {
            Ok(together) => ensure(together == wanted, || {
                format!("{}: one by one {wanted:?}, together {together:?}", operation.as_str())
            })?,
            Err(error) => return fail(format!("{}: {error}", operation.as_str())),
        }
    }
    let none = plugin.are_authorized(&user, &[], &context(bench, Operation::List)).await;
    match answered("no resources", none)? {
        Ok(none) => ensure(none.is_empty(), || format!("nothing was asked and {none:?} answered")),
        Err(error) => fail(format!("an empty list: {error}")),
    }
}

fn known_obligations(answers: &[Decision]) -> Tested {
    for decision in answers {
        let (Decision::Allow { obligations, .. } | Decision::Deny { obligations, .. }) = decision;
        if let Some(other) = obligations.iter().find(|given| !OBLIGATIONS.contains(&given.name.as_str())) {
            return fail(format!("the host does not know {:?}, and refuses what carries it", other.name));
        }
    }
    Ok(())
}

fn reasons(questions: &[(Operation, Resource)], answers: &[Decision]) -> Tested {
    let mut refused = questions.iter().zip(answers).filter_map(|(question, decision)| match decision {
        Decision::Deny { reason, .. } => Some((question, reason)),
        Decision::Allow { .. } => None,
    });
    let mut any = false;
    let mute = refused.find(|(_, reason)| {
        any = true;
        reason.trim().is_empty()
    });
    match mute {
        Some(((operation, resource), _)) => {
            fail(format!("{} on {} is refused without a reason", operation.as_str(), resource.kind))
        }
        None if any => Ok(()),
        None => skip("it refuses nothing of what was asked"),
    }
}

async fn strange(bench: &Workbench, plugin: &dyn Authorization) -> Tested {
    let user = strange_user(bench);
    let odd = Resource {
        id: None,
        owner: None,
        group: Some("\u{0}".to_owned()),
        state: None,
        labels: vec![("k".repeat(300), "\n".repeat(300)); 50],
        spec: Some(serde_json::json!({"user_data": "x".repeat(60_000), "nested": [[[[[]]]]]})),
        ..resource(bench, "compute")
    };
    for operation in OPERATIONS {
        let answer = plugin.is_authorized(&user, &odd, &context(bench, operation)).await;
        // A typed refusal is an answer.
        let _ = answered(operation.as_str(), answer)?;
    }
    Ok(())
}
