//! Deleting and vanishing: nothing is called gone that is not.

use std::time::Duration;

use archipel_model::order::{Scope, State, Status};
use archipel_model::plugin::CreateBehaviour;
use archipel_model::spec::LeaseRequest;
use archipel_model::{Error, ErrorKind, OrderId};
use archipel_orders::Deletion;

use crate::support::cloud::Fault;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn what_was_never_asked_of_the_cloud_is_closed_in_one_commit() {
    let rig = Rig::new();
    let id = rig.compute().await;
    let writes = rig.store.writes();
    assert_eq!(rig.delete(id).await, Deletion::Closed);
    assert_eq!((rig.order(id).state, rig.store.writes() - writes), (State::Closed, 1));
    assert_eq!(rig.events(id), ["open", "closing", "closed"]);
    assert_eq!(rig.delete(id).await, Deletion::Closed, "again is no error");
    assert!(rig.orders.delete(OrderId::generate(), None, false, false).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn closed_is_two_not_founds_at_least_settle_apart_after_the_delete_was_accepted() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    let looks = rig.cloud().calls("get", id).len();
    assert!(matches!(rig.delete(id).await, Deletion::Closing(order) if order.state == State::Closing));
    rig.until(id, State::Closed).await;
    let deleted = rig.cloud().calls("delete", id);
    let looks = rig.cloud().calls("get", id)[looks..].to_vec();
    assert_eq!(deleted.len(), 1);
    let not_found =
        looks.iter().filter(|at| at.since(deleted[0]) >= Duration::from_secs(1)).collect::<Vec<_>>();
    assert!(not_found.len() >= 2 && not_found.last().unwrap().since(*not_found[0]) >= SETTLE, "{looks:?}");
    assert_eq!(rig.cloud().all_live(), 0);
    assert_eq!(rig.order(id).unreachable, None);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_shows_again_is_not_gone() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    *rig.cloud().delete_takes.lock().unwrap() = Duration::from_secs(300);
    rig.delete(id).await;
    pass(200).await;
    assert_eq!(rig.order(id).state, State::Closing);
    assert!(rig.cloud().calls("delete", id).len() > 1, "a delete that does nothing is asked for again");
    rig.until(id, State::Closed).await;
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_create_in_flight_is_kept_by_the_order_that_is_being_deleted() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::Slow(Duration::from_secs(5)));
    let id = rig.compute().await;
    rig.until(id, State::Selected).await;
    rig.delete(id).await;
    assert_eq!(rig.order(id).state, State::Closing);
    let order = rig.until_so(id, |order| order.instance.is_some()).await;
    assert_eq!(order.state, State::Closing);
    rig.until(id, State::Closed).await;
    assert_eq!((rig.cloud().all_live(), rig.cloud().calls("delete", id).len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn without_an_instance_id_it_is_searched_for_until_it_settled() {
    for (fault, visible_after) in
        [(Fault::LoseAnswer, SETTLE - Duration::from_secs(1)), (Fault::LoseRequest, Duration::ZERO)]
    {
        let rig = Rig::started();
        *rig.cloud().visible_after.lock().unwrap() = visible_after;
        rig.cloud().ledger().request_faults.push_back(fault);
        let id = rig.compute().await;
        rig.until(id, State::Selected).await;
        pass(1).await;
        rig.delete(id).await;
        rig.until(id, State::Closed).await;
        assert_eq!((rig.cloud().all_live(), rig.cloud().calls("request", id).len()), (0, 1));
        assert!(rig.clock.now().since(rig.order(id).requested_at.unwrap()) >= SETTLE);
    }
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_create_that_cannot_be_searched_is_repeated_to_learn_what_to_delete() {
    let mut rig = Rig::with(CreateBehaviour::Idempotent, &["emulated"]);
    rig.start();
    rig.cloud().ledger().request_faults.push_back(Fault::SlowThenLost(Duration::from_secs(3)));
    let unsearchable = || Fault::Refuse(Error::unsupported("no search"));
    rig.cloud().ledger().find_faults.extend((0..50).map(|_| unsearchable()));
    let id = rig.compute().await;
    rig.until(id, State::Selected).await;
    rig.delete(id).await;
    rig.until(id, State::Closed).await;
    assert_eq!(rig.cloud().all_live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_refused_for_good_stays_closing_with_the_fault_and_is_tried_slowly() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    let refuse = || Fault::Refuse(Error::permanent("locked"));
    rig.cloud().ledger().delete_faults.extend([refuse(), refuse()]);
    rig.delete(id).await;
    let order = rig.until_so(id, |order| order.fault.is_some()).await;
    assert_eq!((order.state, order.fault.unwrap().message.as_str()), (State::Closing, "locked"));
    rig.until(id, State::Closed).await;
    let deleted = rig.cloud().calls("delete", id);
    assert!(deleted.windows(2).all(|pair| pair[1].since(pair[0]) >= Duration::from_secs(500)), "{deleted:?}");
    assert_eq!(rig.cloud().all_live(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_the_mapper_no_longer_gives_is_unreachable_never_failed_and_never_closed() {
    let mut rig = Rig::started();
    let (kept, deleted) = (rig.fulfilled().await, rig.fulfilled().await);
    rig.mapper().lost.lock().unwrap().insert("team".into());
    rig.bindings[0].mapper_digest = "two".into();
    rig.bind();
    rig.delete(deleted).await;
    for id in [kept, deleted] {
        let order = rig.until_so(id, |order| order.unreachable.is_some()).await;
        let condition = order.unreachable.unwrap();
        assert_eq!((condition.scope, condition.reason.as_str()), (Scope::Account, "account-lost"));
    }
    pass(7200).await;
    assert_eq!((rig.order(kept).state, rig.order(deleted).state), (State::Fulfilled, State::Closing));
    rig.mapper().lost.lock().unwrap().clear();
    rig.bind();
    rig.until(deleted, State::Closed).await;
    rig.until_so(kept, |order| order.unreachable.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_with_dependants_is_not_deleted_but_by_a_cascade_and_children_go_first() {
    let rig = Rig::started();
    let machine = rig.fulfilled().await;
    let disk = rig.create(volume()).await.unwrap().id;
    let link = rig.create(attachment(machine, disk)).await.unwrap().id;
    rig.until(link, State::Fulfilled).await;

    let error = rig.orders.delete(machine, None, false, false).await.unwrap_err();
    assert!(error.kind == ErrorKind::Conflict && error.has_code("dependants"));
    assert_eq!(error.details["dependants"][0], link.to_string());
    assert_eq!(rig.order(machine).state, State::Fulfilled);

    let dry = rig.orders.delete(machine, None, true, true).await.unwrap();
    assert_eq!(dry, Deletion::DryRun(vec![link, machine]));
    assert_eq!(rig.order(link).state, State::Fulfilled);

    assert!(matches!(rig.orders.delete(machine, None, true, false).await.unwrap(), Deletion::Closing(_)));
    assert_eq!(rig.order(link).state, State::Closing);
    let refused = rig.create(attachment(machine, disk)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid, "nothing new may rest on it");
    rig.until(machine, State::Closed).await;
    assert_eq!(rig.order(disk).state, State::Fulfilled);
    let (child, parent) = (rig.cloud().calls("delete", link)[0], rig.cloud().calls("delete", machine)[0]);
    assert!(parent.since(child) >= SETTLE, "the parent waits until the child is closed");
    assert_eq!(rig.cloud().all_live(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_networks_cascade_needs_the_version_that_was_looked_at() {
    let mut rig = Rig::new();
    let net = rig.create(network()).await.unwrap();
    let machine = rig.create(compute_on(net.id)).await.unwrap().id;
    let disk = rig.create(volume()).await.unwrap().id;
    let link = rig.create(attachment(machine, disk)).await.unwrap().id;
    let delete = |if_match| rig.orders.delete(net.id, if_match, true, false);
    assert!(delete(None).await.unwrap_err().has_code("precondition-required"));
    assert!(delete(Some(99)).await.unwrap_err().has_code("precondition-failed"));
    let dry = rig.orders.delete(net.id, None, true, true).await.unwrap();
    assert_eq!(dry, Deletion::DryRun(vec![link, machine, net.id]));
    assert!(matches!(delete(Some(1)).await.unwrap(), Deletion::Closing(_)));
    rig.start();
    rig.until(net.id, State::Closed).await;
    assert_eq!((rig.order(machine).state, rig.order(link).state), (State::Closed, State::Closed));
}

#[tokio::test(start_paused = true)]
async fn failed_orders_can_always_be_deleted() {
    let rig = Rig::started();
    rig.cloud().ledger().request_faults.push_back(Fault::Refuse(Error::permanent("no")));
    let refused = rig.compute().await;
    rig.until(refused, State::FailedOnRequest).await;
    let broken = rig.fulfilled().await;
    rig.cloud().set_status(&rig.order(broken).instance.unwrap().id, Status::Failed);
    let order = rig.until(broken, State::FailedAfterRequest).await;
    assert_eq!(order.fault.unwrap().code.as_deref(), Some("instance-failed"));
    *rig.mapper().refuses.lock().unwrap() = Some(Error::forbidden("not you"));
    let forbidden = rig.compute().await;
    rig.until(forbidden, State::FailedOnRequest).await;
    assert_eq!(rig.delete(forbidden).await, Deletion::Closed, "the cloud was never asked");
    for id in [refused, broken] {
        rig.delete(id).await;
        rig.until(id, State::Closed).await;
    }
    assert_eq!(rig.cloud().all_live(), 0);
}

#[tokio::test(start_paused = true)]
async fn not_found_soon_after_the_create_is_still_creating() {
    let rig = Rig::started();
    *rig.cloud().visible_after.lock().unwrap() = SETTLE - Duration::from_secs(1);
    let id = rig.fulfilled().await;
    assert!(!rig.events(id).iter().any(|word| word.starts_with("failed")));
    assert!(rig.order(id).missing_since.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_gone_twice_fails_the_order_and_gone_once_does_not() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    pass(60).await;
    let instance = rig.order(id).instance.unwrap().id;
    let version = rig.order(id).version;
    rig.cloud().destroy(&instance);
    let order = rig.until_so(id, |order| order.missing_since.is_some()).await;
    assert_eq!(
        (order.state, order.version),
        (State::Fulfilled, version),
        "one look says nothing to a client"
    );
    rig.cloud().ledger().made[0].gone_at = None;
    rig.until_so(id, |order| order.missing_since.is_none()).await;
    rig.cloud().destroy(&instance);
    let first = rig.until_so(id, |order| order.missing_since.is_some()).await.missing_since.unwrap();
    let order = rig.until(id, State::FailedAfterRequest).await;
    assert!(rig.clock.now().since(first) >= SETTLE);
    assert_eq!(order.fault.unwrap().code.as_deref(), Some("instance-gone"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_instance_that_is_healthy_again_fulfils_its_order_again() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    let instance = rig.order(id).instance.unwrap().id;
    rig.cloud().set_status(&instance, Status::Failed);
    rig.until(id, State::FailedAfterRequest).await;
    rig.cloud().set_status(&instance, Status::Ready);
    assert_eq!(rig.until(id, State::Fulfilled).await.fault, None);
}

#[tokio::test(start_paused = true)]
async fn what_a_user_does_with_the_clouds_own_tools_is_followed() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    let instance = rig.order(id).instance.unwrap().id;
    for (status, state) in [
        (Status::Stopped, State::Stopped),
        (Status::Paused, State::Paused),
        (Status::Hibernated, State::Hibernated),
        (Status::Ready, State::Fulfilled),
    ] {
        rig.cloud().set_status(&instance, status);
        rig.until(id, state).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_is_deleted_when_its_lease_and_the_grace_are_over_with_all_that_rests_on_it() {
    let rig = Rig::started();
    let mut request = compute();
    request.lease = Some(LeaseRequest::DurationS(600));
    let machine = rig.create(request).await.unwrap();
    let disk = rig.create(volume()).await.unwrap().id;
    let link = rig.create(attachment(machine.id, disk)).await.unwrap().id;
    rig.until(link, State::Fulfilled).await;
    rig.until(machine.id, State::Closing).await;
    let over = machine.lease.unwrap().expires_at.plus(Duration::from_secs(300));
    let now = rig.clock.now();
    assert!(now >= over && now.since(over) < Duration::from_secs(2), "{now} {over}");
    rig.until(machine.id, State::Closed).await;
    assert_eq!((rig.order(link).state, rig.order(disk).state), (State::Closed, State::Fulfilled));
}

#[tokio::test(start_paused = true)]
async fn a_closed_order_is_kept_for_its_time_and_then_forgotten() {
    let rig = Rig::started();
    let id = rig.compute().await;
    rig.delete(id).await;
    rig.until(id, State::Closed).await;
    pass(29 * 86_400).await;
    assert_eq!(rig.order(id).state, State::Closed);
    pass(2 * 86_400).await;
    assert!(rig.store.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_was_accepted_and_then_conflicts_is_repeated_ever_more_slowly() {
    let rig = Rig::started();
    let id = rig.fulfilled().await;
    *rig.cloud().delete_takes.lock().unwrap() = Duration::from_secs(365 * 24 * 3600);
    let conflict = || Fault::Refuse(Error::conflict("something else holds it"));
    let accepted = std::iter::once(Fault::Slow(Duration::ZERO));
    rig.cloud().ledger().delete_faults.extend(accepted.chain(std::iter::repeat_with(conflict).take(1000)));
    rig.delete(id).await;
    pass(3600).await;
    let deletes = rig.cloud().calls("delete", id).len();
    assert!((3..=300).contains(&deletes), "{deletes} deletes in an hour, where the longest wait is 30 s");
    assert_eq!(rig.order(id).fault.unwrap().message, "something else holds it");
}
