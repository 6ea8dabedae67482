//! What every plugin of an interface must do, tried in the real runtime. One file per family; each test is one sentence of
//! `wit/`. They are what a site relies on when it swaps one plugin for another.
//!
//! | interface | what is tried |
//! |---|---|
//! | all | it is admitted, with its configuration; strange words do not break it |
//! | `authorization` | every operation on every kind is decided; alike when asked again, and when asked for many |
//! | `token-generator`, `federation-identity`, `authentication` | wrong logins and forged tokens are refused; right ones name one user, who is genuine |
//! | `federation-to-local-mapper` | accounts are stable and not secret; tokens are made in the background; foreign accounts are unsupported |
//! | `compute`, `volume`, `network`, `attachment` | the life of an instance; `gone` only positively; `applied` is honest when the cloud fails |
//! | `compute-power` | actions lead where the contract says; asked twice they are no error |
//! | `quota`, `spec`, `image` | lists have no doubles, singles agree with them, unknown ones are `not-found` |
//! | `scenario` | a run reports what it names; a cloud that is full, or hangs, breaks nothing |

mod authorization;
mod failing_cloud;
mod identity;
mod instances;
mod life;
mod mapper;
mod offers;
mod power;
mod scenario;

use archipel_model::order::Kind;
use archipel_model::plugin::{Context, Operation};
use archipel_model::{Clock, Error, ErrorKind, FederationUser, OrderId};

use crate::bench::Workbench;
use crate::report::{Report, Tested, fail, skip};

/// Runs the contract tests of everything that the plugin exports.
pub async fn check(bench: &Workbench) -> Report {
    let mut report = Report::new();
    report.note(
        "plugin",
        "it is admitted with its configuration, and every export fits the contract",
        Ok(()),
    );
    authorization::check(bench, &mut report).await;
    identity::check(bench, &mut report).await;
    mapper::check(bench, &mut report).await;
    instances::check(bench, &mut report).await;
    offers::check(bench, &mut report).await;
    scenario::check(bench, &mut report).await;
    let strange = bench.tape.take_strange();
    if !strange.is_empty() {
        let all = strange.join("\n           ");
        let told: Tested =
            skip(format!("the recording lacks these; --record makes it anew:\n           {all}"));
        report.note("http", "everything that it asks of its cloud is in the recording", told);
    }
    report
}

/// Whether the plugin broke off rather than answered.
pub(crate) fn is_broken(error: &Error) -> bool {
    ["plugin-trap", "plugin-deadline", "plugin-memory", "plugin-answer", "plugin-away", "aaa-unavailable"]
        .iter()
        .any(|code| error.has_code(code))
}

/// An answer, whatever it is, as long as the plugin gave one.
fn answered<T>(what: &str, answer: Result<T, Error>) -> Tested<Result<T, Error>> {
    match answer {
        Err(error) if is_broken(&error) => fail(format!("{what}: {error}")),
        other => Ok(other),
    }
}

/// An answer that is no error. A far side that is not there is nothing to blame the plugin for.
fn worked<T>(what: &str, answer: Result<T, Error>) -> Tested<T> {
    match answered(what, answer)? {
        Ok(value) => Ok(value),
        Err(error) if error.kind == ErrorKind::Transient => {
            skip(format!("{what}: {error}; give the case a recording (http), or use --live"))
        }
        Err(error) => fail(format!("{what}: {}: {error}", error.kind)),
    }
}

/// The id of the `number`th order of a kind: the same in every run, so that recordings fit.
pub(crate) fn order_id(kind: Kind, number: u8) -> OrderId {
    let kind = Kind::ALL.iter().position(|known| *known == kind).unwrap_or(0);
    let mut id = [0x01, 0x9a, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0];
    let [.., of, last] = &mut id;
    (*of, *last) = (u8::try_from(kind).unwrap_or(0), number);
    OrderId::from_bytes(id)
}

/// The circumstances of a question.
pub(crate) fn context(bench: &Workbench, operation: Operation) -> Context {
    Context {
        request_id: "workbench".to_owned(),
        now: bench.clock.now(),
        operation,
        this_site: bench.site.clone(),
        requesting_site: None,
        client_address: None,
        group: None,
    }
}

/// A user who has everything that could hurt: long, empty, not ASCII, with control characters and quotes.
fn strange_user(bench: &Workbench) -> FederationUser {
    FederationUser {
        subject: "x".repeat(1000),
        name: "\u{1b}[31m\u{0}\u{202e}\"'\\\n; DROP TABLE users; --".to_owned(),
        email: Some(String::new()),
        groups: vec![String::new(), "групп/à ".repeat(50), "../../etc".to_owned()],
        entitlements: vec!["urn:\u{7f}".to_owned(); 200],
        attributes: vec![("{}".to_owned(), "[".repeat(500))],
        assurance: "\u{feff}".to_owned(),
        ..bench.case.user()
    }
}
