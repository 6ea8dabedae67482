//! `archipel:aaa/federation-to-local-mapper`.

use archipel_model::plugin::{Mapper, Operation};
use archipel_model::{ErrorKind, LocalToken};
use serde_json::Value;

use super::{answered, context, strange_user, worked};
use crate::bench::Workbench;
use crate::case::CLOUD;
use crate::report::{Report, Tested, ensure, fail};

const INTERFACE: &str = "federation-to-local-mapper";

/// An account that no mapper gave.
const FOREIGN: &str = "an-account-that-nobody-ever-gave";

/// Tries all of it.
pub(super) async fn check(bench: &Workbench, report: &mut Report) {
    if !bench.has("aaa/federation-to-local-mapper") {
        return;
    }
    let Some(cloud) = bench.cloud() else { return };
    let mapper = &*cloud.mapper;
    let account =
        report.note(INTERFACE, "a user has an account, the same every time", account(bench, mapper).await);
    if let Some(account) = account {
        report.note(INTERFACE, "the account's name is no secret", not_secret(bench, &account));
        let token = token(bench, mapper, &account).await;
        let token = report.note(
            INTERFACE,
            "there is a token for the account in the background, without a session",
            token,
        );
        if let Some(token) = token {
            report.note(
                INTERFACE,
                "the token speaks for the account that was asked for",
                speaks_for(&token, &account),
            );
            report.note(
                INTERFACE,
                "what drivers are told is a JSON object without secrets",
                attributes(bench, &token),
            );
        }
    }
    report.note(INTERFACE, "an account that it did not give is unsupported", foreign(bench, mapper).await);
    report.note(INTERFACE, "strange users and accounts do not break it", strange(bench, mapper).await);
}

async fn account(bench: &Workbench, mapper: &dyn Mapper) -> Tested<String> {
    let user = bench.case.user();
    let context = context(bench, Operation::Create);
    let first = worked("map-user", mapper.map_user(&user, CLOUD, &context).await)?;
    let second = worked("map-user again", mapper.map_user(&user, CLOUD, &context).await)?;
    ensure(first == second, || {
        format!("{first:?}, then {second:?}: it would be a stranger to its own orders")
    })?;
    Ok(first)
}

fn not_secret(bench: &Workbench, account: &str) -> Tested {
    let leaked = bench.case.secret_values().into_iter().any(|secret| account.contains(&secret));
    ensure(!leaked, || "it holds a secret; accounts are written on orders and shown".to_owned())
}

async fn token(bench: &Workbench, mapper: &dyn Mapper, account: &str) -> Tested<LocalToken> {
    worked("get-token", mapper.get_token(account, CLOUD, &context(bench, Operation::Read), None).await)
}

fn speaks_for(token: &LocalToken, account: &str) -> Tested {
    ensure(token.account == account, || format!("asked for {account:?}, it speaks for {:?}", token.account))
}

fn attributes(bench: &Workbench, token: &LocalToken) -> Tested {
    match serde_json::from_str(&token.attributes) {
        Ok(Value::Object(_)) => {}
        _ => return fail(format!("{:?} is no JSON object", token.attributes)),
    }
    let leaked = bench.case.secret_values().into_iter().any(|secret| token.attributes.contains(&secret));
    ensure(!leaked, || "they hold a secret; put it into the token itself".to_owned())
}

async fn foreign(bench: &Workbench, mapper: &dyn Mapper) -> Tested {
    let answer = mapper.get_token(FOREIGN, CLOUD, &context(bench, Operation::Read), None).await;
    match answered("get-token", answer)? {
        Err(error) if error.kind == ErrorKind::Unsupported => Ok(()),
        Err(error) => {
            fail(format!("it is {} ({error}); the host takes that for a cloud's answer", error.kind))
        }
        Ok(_) => fail("it gave a token for it"),
    }
}

async fn strange(bench: &Workbench, mapper: &dyn Mapper) -> Tested {
    let context = context(bench, Operation::Create);
    let user = strange_user(bench);
    // A typed refusal is an answer.
    let _ = answered("a strange user", mapper.map_user(&user, CLOUD, &context).await)?;
    let _ = answered("another cloud", mapper.map_user(&bench.case.user(), "no-such-cloud", &context).await)?;
    for account in ["", "{", "\u{0}\u{1b}", &"a".repeat(4096)] {
        let _ = answered("a strange account", mapper.get_token(account, CLOUD, &context, None).await)?;
    }
    Ok(())
}
