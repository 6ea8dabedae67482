//! The life of an instance: made once, found again, seen until it is ready, deleted until it is gone.

use std::time::Duration;

use archipel_model::order::Status;
use archipel_model::plugin::{CreateBehaviour, Created, InstanceView, Observed, OrderRef, Tagged};

use super::instances::{Made, Tried};
use super::{answered, worked};
use crate::report::{Report, Tested, ensure, fail, skip};

/// Looks at one instance before a test gives up.
const LOOKS: u32 = 120;
/// Between two looks, where the driver names no time.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at a real cloud.
const REAL_PAUSE: Duration = Duration::from_millis(500);
/// Pages of a list before it is called endless.
const PAGES: usize = 1_000;

/// The order that lives, one that comes again, and one that nothing is ever made for.
const LIVES: u8 = 1;
const STRANGER: u8 = 9;

impl Tried<'_> {
    /// Lets time pass.
    async fn pause(&self, by: Option<Duration>) {
        self.bench.clock.turn(by.unwrap_or(PAUSE));
        if self.bench.tape.is_live() {
            tokio::time::sleep(REAL_PAUSE).await;
        }
    }

    /// Looks until the instance is as wanted.
    pub(super) async fn until(&self, made: &Made, wanted: Status) -> Tested<InstanceView> {
        let mut last = String::new();
        for _ in 0..LOOKS {
            let look = self
                .driver
                .get_instance(&made.created.id, &made.created.driver_state, &made.order, &self.token)
                .await;
            match worked("get-instance", look)? {
                Observed::Gone => return fail("it is gone"),
                Observed::Present(instance) if instance.status == wanted => return Ok(instance),
                Observed::Present(instance) if instance.status == Status::Failed => {
                    return fail(format!("it failed: {}", instance.fault.unwrap_or(instance.cloud_state)));
                }
                Observed::Present(instance) => {
                    last = instance.cloud_state;
                    self.pause(instance.poll_after).await;
                }
            }
        }
        fail(format!("after {LOOKS} looks it is still {last:?}"))
    }

    async fn find(&self, order: &OrderRef) -> Tested<Vec<Tagged>> {
        worked("find-instances", self.driver.find_instances(order, &self.token).await)
    }

    /// Finds until so many are there, for as long as the manifest says that it may take.
    async fn find_settled(&self, order: &OrderRef, wanted: usize) -> Tested<Vec<Tagged>> {
        let settle = self.driver.descriptor().settle;
        let mut waited = Duration::ZERO;
        loop {
            let found = self.find(order).await?;
            if found.len() == wanted || waited > settle {
                return Ok(found);
            }
            let step = Duration::from_millis(500);
            waited += step;
            self.pause(Some(step)).await;
        }
    }
}

/// Makes an instance and looks at it from all sides.
pub(super) async fn begin(tried: &Tried<'_>, report: &mut Report) -> Option<Made> {
    let interface = tried.kind.as_str();
    let order = tried.order(LIVES);
    report.note(
        interface,
        "an order that nothing was made for has no instances",
        none_yet(tried, &order).await,
    );
    let created = report.note(interface, "a create gives an id", create(tried, &order).await)?;
    let made = Made { order, created };
    report.note(interface, "it becomes ready", tried.until(&made, Status::Ready).await);
    report.note(interface, "it is found by its order's tag", found(tried, &made).await);
    report.note(interface, "it is in the list, with its tag, and the list ends", listed(tried, &made).await);
    report.note(interface, "the same order again gives no second one", twice(tried, &made).await);
    report.note(interface, "another order does not find it", none_yet(tried, &tried.order(STRANGER)).await);
    report.note(interface, "an id that never was does not break it", unknown(tried).await);
    Some(made)
}

/// Deletes it and looks until it is gone.
pub(super) async fn end(tried: &Tried<'_>, made: &Made, report: &mut Report) {
    let interface = tried.kind.as_str();
    if report.note(interface, "a delete is accepted", delete(tried, made).await).is_some() {
        report.note(interface, "a second delete is no error", delete(tried, made).await);
        report.note(interface, "it is gone then, and said so", gone(tried, made).await);
        report.note(interface, "and nothing of it is found any more", nothing_left(tried, made).await);
    }
}

async fn none_yet(tried: &Tried<'_>, order: &OrderRef) -> Tested {
    let found = tried.find(order).await?;
    ensure(found.is_empty(), || format!("{} were found", found.len()))
}

async fn create(tried: &Tried<'_>, order: &OrderRef) -> Tested<Created> {
    let answer = tried.driver.request_instance(&tried.create(order, 1), &tried.token).await;
    let created = worked("request-instance", answer)?;
    ensure(!created.id.is_empty(), || "the id is empty".to_owned())?;
    Ok(created)
}

async fn found(tried: &Tried<'_>, made: &Made) -> Tested {
    let found = tried.find_settled(&made.order, 1).await?;
    match found.as_slice() {
        [one] => {
            ensure(one.tag == made.order.tag, || {
                format!("its tag is {:?}, not {:?}", one.tag, made.order.tag)
            })?;
            ensure(one.instance.id == made.created.id, || {
                format!("its id is {:?}, the create said {:?}", one.instance.id, made.created.id)
            })
        }
        other => fail(format!("{} were found, within the settle_ms of the manifest", other.len())),
    }
}

async fn listed(tried: &Tried<'_>, made: &Made) -> Tested {
    let mut cursor: Option<String> = None;
    let mut seen = false;
    for _ in 0..PAGES {
        let answer = tried.driver.list_instances(&tried.token, cursor.as_deref()).await;
        let page = worked("list-instances", answer)?;
        for item in &page.items {
            ensure(item.tag.starts_with("archipel:"), || {
                format!("it lists {:?}, which is not ours", item.tag)
            })?;
            seen |= item.tag == made.order.tag && item.instance.id == made.created.id;
        }
        match page.next {
            None => return ensure(seen, || "it is not in the list".to_owned()),
            next if next == cursor => return fail(format!("a page leads to itself: {next:?}")),
            next => cursor = next,
        }
    }
    fail(format!("the list does not end within {PAGES} pages"))
}

async fn twice(tried: &Tried<'_>, made: &Made) -> Tested {
    if tried.driver.descriptor().create != CreateBehaviour::Idempotent {
        return skip("its manifest does not say idempotent: the host looks before it repeats");
    }
    let answer = tried.driver.request_instance(&tried.create(&made.order, 2), &tried.token).await;
    let again = worked("request-instance again", answer)?;
    ensure(again.id == made.created.id, || {
        format!("{:?}, then {:?}; the manifest says idempotent", made.created.id, again.id)
    })?;
    found(tried, made).await
}

async fn unknown(tried: &Tried<'_>) -> Tested {
    let order = tried.order(STRANGER);
    for id in ["no-such-id-7f3a", "", "../../secrets?x=1#"] {
        let look = tried.driver.get_instance(id, "", &order, &tried.token).await;
        if let Ok(Observed::Present(instance)) = answered("get-instance", look)? {
            return fail(format!("looking for {id:?} it found {:?}", instance.id));
        }
    }
    Ok(())
}

async fn delete(tried: &Tried<'_>, made: &Made) -> Tested {
    let answer = tried
        .driver
        .delete_instance(&made.created.id, &made.created.driver_state, &made.order, &tried.token)
        .await;
    worked("delete-instance", answer)
}

async fn gone(tried: &Tried<'_>, made: &Made) -> Tested {
    let mut last = String::new();
    for _ in 0..LOOKS {
        let look = tried
            .driver
            .get_instance(&made.created.id, &made.created.driver_state, &made.order, &tried.token)
            .await;
        match worked("get-instance", look)? {
            Observed::Gone => return Ok(()),
            Observed::Present(instance) => {
                last = instance.cloud_state;
                tried.pause(instance.poll_after).await;
            }
        }
    }
    fail(format!("after {LOOKS} looks it is still {last:?}"))
}

async fn nothing_left(tried: &Tried<'_>, made: &Made) -> Tested {
    let found = tried.find_settled(&made.order, 0).await?;
    ensure(found.is_empty(), || format!("{} are", found.len()))
}
