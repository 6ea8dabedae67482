//! The log of events.

use std::time::Duration;

use archipel_model::Timestamp;
use archipel_model::order::{Order, State};
use archipel_orders::store::{EventPage, EventQuery, Visible};

use super::support::*;

async fn walk(f: &Fixture, mut query: EventQuery) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    loop {
        let page = f.store.orders().events(&query).await.unwrap();
        seen.extend(page.items.iter().map(|event| (event.sequence, event.subject.to_string())));
        query.after = Some(page.next);
        if !page.more {
            return seen;
        }
    }
}

fn query(visible: Visible, subject: Option<&Order>, limit: usize) -> EventQuery {
    EventQuery { visible, subject: subject.map(|order| order.id), after: None, limit }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_his_events_once_and_in_order() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let (mut mine, mut theirs) = (compute("alice"), volume("bob"));
        theirs.group = Some("physics".into());
        orders.accept(acceptance(&mine)).await.unwrap();
        orders.accept(acceptance(&theirs)).await.unwrap();
        for state in [State::Selected, State::Spawning, State::Fulfilled] {
            orders.change(next(&mut mine, state)).await.unwrap();
            let mut change = next(&mut theirs, state);
            change.events.push(event(state));
            orders.change(change).await.unwrap();
        }
        for limit in [1, 2, 3, 100] {
            let all = walk(&f, query(Visible::Any, None, limit)).await;
            assert_eq!(all.len(), 11);
            assert!(all.is_sorted_by(|a, b| a.0 < b.0), "each number once and growing");
            let of = |id: &Order| -> Vec<_> {
                all.iter().filter(|(_, s)| *s == id.id.to_string()).cloned().collect()
            };
            assert_eq!(walk(&f, query(Visible::Own(owner("alice")), None, limit)).await, of(&mine));
            assert_eq!(walk(&f, query(Visible::Own(owner("eve")), None, limit)).await, []);
            let group = Visible::Group(owner("eve"), "physics".into());
            assert_eq!(walk(&f, query(group, None, limit)).await, of(&theirs));
            let both = Visible::Group(owner("alice"), "physics".into());
            assert_eq!(walk(&f, query(both, None, limit)).await, all);
            assert_eq!(walk(&f, query(Visible::Any, Some(&mine), limit)).await, of(&mine));
            assert_eq!(walk(&f, query(Visible::Own(owner("eve")), Some(&mine), limit)).await, []);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_matches_goes_on_after_the_newest() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        let mut watch = orders.watch_events();
        orders.accept(acceptance(&compute("alice"))).await.unwrap();
        watch.changed().await.unwrap();
        let newest = *watch.borrow_and_update();
        let page = orders.events(&query(Visible::Own(owner("eve")), None, 10)).await.unwrap();
        assert_eq!(page, EventPage { items: vec![], next: newest, more: false, oldest: 0 });
        let page = orders.events(&query(Visible::Any, None, 10)).await.unwrap();
        assert_eq!((page.items[0].sequence, page.next), (newest, newest));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_events_are_told_by_the_oldest_that_is_kept() {
    on_every_engine(async |f| {
        let orders = f.store.orders();
        for _ in 0..45 {
            orders.accept(acceptance(&compute("alice"))).await.unwrap();
        }
        f.clock.turn(Duration::from_secs(60));
        let kept = compute("alice");
        orders.accept(acceptance(&kept)).await.unwrap();
        let all = walk(&f, query(Visible::Any, None, 100)).await;
        let none = Timestamp::from_millis(0);
        let before = kept.created_at.plus(Duration::from_secs(30));
        assert_eq!(orders.forget_before(none, before, none, 30).await.unwrap(), 30);
        assert_eq!(orders.forget_before(none, before, none, 30).await.unwrap(), 15);
        assert_eq!(orders.forget_before(none, before, none, 30).await.unwrap(), 0);
        let page = orders.events(&query(Visible::Own(owner("alice")), None, 100)).await.unwrap();
        assert_eq!(page.items.len(), 1);
        let (last_forgotten, first_kept) = (all[44].0, all[45].0);
        assert!(last_forgotten < page.oldest && page.oldest <= first_kept);
    })
    .await;
}
