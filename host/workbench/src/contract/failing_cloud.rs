//! What a driver says of a cloud that fails. The host rests on two of its words: `gone`, after which an order is closed, and
//! `applied`, after which a create is repeated or not. A driver that says either lightly loses machines or makes two.

use archipel_model::Applied;
use archipel_model::plugin::Observed;

use super::answered;
use super::instances::Tried;
use crate::report::{Report, Tested, fail, skip};
use crate::tape::Fault;

/// The order that lives in the recording: what is asked for it is recorded.
const LIVES: u8 = 1;

/// An instance that a cloud may have.
const SOME_ID: &str = "i-7f3a";

/// Tries a driver that speaks HTTP on a cloud that does not behave.
pub(super) async fn check(tried: &Tried<'_>, report: &mut Report) {
    let interface = tried.kind.as_str();
    if tried.bench.tape.is_live() {
        let told: Tested = skip("a real cloud cannot be made to fail; try it with a recording");
        report.note(interface, "a failing cloud is told as one", told);
        return;
    }
    let before = tried.bench.tape.requests().len();
    let forbidden = never_gone(tried, Fault::Status(403)).await;
    if tried.bench.tape.requests().len() == before {
        // Nothing was asked by HTTP: this driver's cloud is inside it.
        return;
    }
    report.note(interface, "a cloud that answers 403 is an error, never gone", forbidden);
    report.note(
        interface,
        "a cloud that answers 503 is an error, never gone",
        never_gone(tried, Fault::Status(503)).await,
    );
    report.note(
        interface,
        "an answer that is no JSON is an error, never gone",
        never_gone(tried, Fault::Garbage).await,
    );
    report.note(
        interface,
        "a refused connection is an error, and nothing was applied",
        create(tried, Fault::Refused, Applied::No).await,
    );
    report.note(
        interface,
        "a create that is refused with 400 was not applied",
        create(tried, Fault::ChangeStatus(400), Applied::No).await,
    );
    report.note(
        interface,
        "a create that ends in 503 may have been applied",
        create(tried, Fault::ChangeStatus(503), Applied::Unknown).await,
    );
    report.note(
        interface,
        "a create that gets no answer may have been applied",
        create(tried, Fault::ChangeCut, Applied::Unknown).await,
    );
    tried.bench.tape.set_fault(None);
    // What is asked of a failing cloud need not be recorded.
    tried.bench.tape.take_strange();
}

async fn never_gone(tried: &Tried<'_>, fault: Fault) -> Tested {
    tried.bench.tape.set_fault(Some(fault));
    let look = tried.driver.get_instance(SOME_ID, "", &tried.order(LIVES), &tried.token).await;
    tried.bench.tape.set_fault(None);
    match answered("get-instance", look)? {
        Err(_) => Ok(()),
        Ok(Observed::Gone) => {
            fail("it says gone: the host would close the order and leave the machine running")
        }
        Ok(Observed::Present(instance)) => fail(format!("it says that there is {:?}", instance.id)),
    }
}

async fn create(tried: &Tried<'_>, fault: Fault, wanted: Applied) -> Tested {
    tried.bench.tape.set_fault(Some(fault));
    let order = tried.order(LIVES);
    let answer = tried.driver.request_instance(&tried.create(&order, 1), &tried.token).await;
    tried.bench.tape.set_fault(None);
    match answered("request-instance", answer)? {
        Ok(created) => fail(format!("it says that it made {:?}", created.id)),
        Err(error) if error.applied == wanted => Ok(()),
        // Before the first change nothing can have been applied, and what a recording lacks ends there.
        Err(error) if error.applied == Applied::No && !was_changed(tried) => {
            skip(format!("it did not come so far: {error}"))
        }
        Err(error) => fail(format!("applied is {:?} ({error})", error.applied)),
    }
}

/// Whether the last create sent a request that may change something.
fn was_changed(tried: &Tried<'_>) -> bool {
    tried.bench.tape.requests().last().is_some_and(|request| !request.starts_with("GET "))
}
