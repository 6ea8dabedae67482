//! An administrator gives up what cannot be deleted.

use archipel_model::order::State;
use archipel_model::{Error, ErrorKind, OrderId};

use crate::support::cloud::Fault;
use crate::support::*;

async fn refusal(rig: &Rig, id: OrderId, reason: &str) -> (ErrorKind, Option<String>) {
    let error = rig.orders.forget(id, reason).await.unwrap_err();
    (error.kind, error.code.map(|code| code.into_owned()))
}

#[tokio::test(start_paused = true)]
async fn what_is_closing_without_an_end_is_closed_with_a_reason_and_what_may_be_left_is_named() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    let conflict = ErrorKind::Conflict;
    assert_eq!(refusal(&rig, id, "scrapped").await, (conflict, Some("not-closing".into())));
    let never = || Fault::Refuse(Error::permanent("the cloud was scrapped"));
    rig.cloud().ledger().delete_faults.extend(std::iter::repeat_with(never).take(100));
    rig.delete(id).await;
    let order = rig.until_so(id, |order| order.fault.is_some()).await;
    assert_eq!(order.state, State::Closing);
    for reason in ["", "   ", &"x".repeat(1025)] {
        assert_eq!(refusal(&rig, id, reason).await.0, ErrorKind::Invalid);
    }
    let closed = rig.orders.forget(id, " the cloud was scrapped ").await.unwrap();
    assert_eq!((closed.state, closed.fault, closed.closing), (State::Closed, None, None));
    assert_eq!(rig.events(id)[rig.events(id).len() - 2..], ["forgotten", "closed"]);
    let left = rig.store.event_data(id, "forgotten")["forgotten"].clone();
    let instance = rig.cloud().live(id)[0].id.clone();
    let told = serde_json::json!({
        "reason": "the cloud was scrapped", "tag": order.tag(), "account": "team", "instance": instance,
    });
    assert_eq!(left, told, "it is still there, and this is how it is found");
    assert_eq!(refusal(&rig, id, "again").await, (conflict, Some("closed".into())));
    let deletes = rig.cloud().calls("delete", id).len();
    pass(3600).await;
    assert_eq!(rig.cloud().calls("delete", id).len(), deletes, "nobody works on it any more");
}

#[tokio::test(start_paused = true)]
async fn what_others_rest_on_is_not_given_up_before_them() {
    let rig = Rig::started();
    let machine = rig.fulfilled().await;
    let disk = rig.create(volume()).await.unwrap().id;
    let link = rig.create(attachment(machine, disk)).await.unwrap().id;
    rig.until(link, State::Fulfilled).await;
    let never = || Fault::Refuse(Error::permanent("no"));
    rig.cloud().ledger().delete_faults.extend(std::iter::repeat_with(never).take(100));
    rig.orders.delete(machine, None, true, false).await.unwrap();
    rig.until_so(link, |order| order.fault.is_some()).await;
    let conflict = ErrorKind::Conflict;
    assert_eq!(refusal(&rig, machine, "gone").await, (conflict, Some("dependants".into())));
    rig.orders.forget(link, "gone").await.unwrap();
    rig.until_so(machine, |order| order.fault.is_some()).await;
    rig.orders.forget(machine, "gone").await.unwrap();
    assert_eq!(rig.order(disk).state, State::Fulfilled);
}
