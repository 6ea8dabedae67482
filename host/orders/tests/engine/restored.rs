//! A store that was restored from a copy: what the clouds made after the copy was taken is found, not made again.

use archipel_model::order::State;
use archipel_model::plugin::CreateBehaviour;

use crate::support::*;

/// An order that the copy knows as never asked for, and what the cloud made of it after the copy was taken.
async fn restored(behaviour: CreateBehaviour) -> (Rig, archipel_model::OrderId) {
    let rig = Rig::with(behaviour, &["emulated"]);
    let id = rig.compute().await;
    pass(60).await;
    rig.cloud().plant(&rig.order(id).tag(), "team");
    rig.store.restored();
    (rig, id)
}

#[tokio::test(start_paused = true)]
async fn an_order_that_the_copy_had_not_asked_for_is_searched_for_first_and_adopted() {
    let (mut rig, id) = restored(CreateBehaviour::Searchable).await;
    rig.start();
    rig.until(id, State::Fulfilled).await;
    assert_eq!((rig.cloud().live(id).len(), rig.cloud().calls("request", id).len()), (1, 0));
    pass(5).await;
    let later = rig.fulfilled().await;
    assert_eq!(rig.cloud().calls("find", later).len(), 0, "what was accepted since needs no search");
}

#[tokio::test(start_paused = true)]
async fn where_neither_repeating_nor_searching_is_safe_such_an_order_stops_and_says_so() {
    let (mut rig, id) = restored(CreateBehaviour::Neither).await;
    rig.start();
    let order = rig
        .until_so(id, |order| {
            order.fault.as_ref().is_some_and(|fault| fault.code.as_deref() == Some("unknown-outcome"))
        })
        .await;
    assert_eq!(order.state, State::Selected);
    pass(3600).await;
    assert_eq!((rig.cloud().live(id).len(), rig.cloud().calls("request", id).len()), (1, 0));
    rig.delete(id).await;
    pass(60).await;
    assert_eq!(rig.order(id).state, State::Closing);
    rig.orders.forget(id, "looked in the cloud").await.unwrap();
    assert_eq!(rig.order(id).state, State::Closed);
}
