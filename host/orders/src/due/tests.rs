//! The rules of a queue: turns, events that come in between, and lists in the place of looks.

use archipel_model::order::Kind;

use super::*;
use crate::settings::Settings;

fn owner(name: &str) -> Owner {
    Owner { issuer: "i".into(), subject: name.into() }
}

fn queue() -> Due {
    let mut due = Due::new(ListRules::of(&Settings::default()));
    due.loaded();
    due
}

fn insert(due: &mut Due, owner: Owner, at: Instant) -> OrderId {
    let id = OrderId::generate();
    due.insert(id, owner, at, Memory::default());
    id
}

fn inventory() -> Arc<Inventory> {
    Arc::new(Inventory { account: "team".into(), kind: Kind::Compute })
}

fn look(due: &mut Due, owner: Owner, at: Instant) -> OrderId {
    let id = OrderId::generate();
    due.insert(id, owner, at, Memory { inventory: Some(inventory()), ..Memory::default() });
    id
}

fn step(due: &mut Due, now: Instant) -> Option<(OrderId, Memory)> {
    match due.take(now)? {
        Work::Step(id, memory) => Some((id, memory)),
        Work::List(..) => panic!("a list where a step was expected"),
    }
}

fn list(due: &mut Due, now: Instant) -> Instant {
    loop {
        match due.take(now) {
            Some(Work::List(what, until)) if what == inventory() => return until,
            Some(Work::Step(..)) => {}
            work => panic!("{work:?} where a list was expected"),
        }
    }
}

fn looks(due: &mut Due, many: usize, at: Instant) -> Vec<OrderId> {
    (0..many).map(|_| look(due, owner("a"), at)).collect()
}

/// A list that shows all of them as they were.
fn spare(due: &mut Due, ids: &[OrderId], until: Instant, pages: usize, now: Instant) {
    for id in ids {
        let memory = due.shown(*id, until).unwrap();
        due.finish(*id, memory, Next::after(after(1000)), now);
    }
    let ended = Ended { pages, spared: ids.len(), ..Ended::default() };
    assert_eq!(due.end_list(&inventory(), until, ended, now), 0);
    due.free_slot();
}

fn after(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[tokio::test]
async fn owners_take_turns_however_many_orders_one_has() {
    let now = Instant::now();
    let mut due = queue();
    for _ in 0..10 {
        insert(&mut due, owner("many"), now);
    }
    let few = insert(&mut due, owner("few"), now);
    let first_two = [step(&mut due, now).unwrap().0, step(&mut due, now).unwrap().0];
    assert!(first_two.contains(&few));
    assert_eq!((due.running(), due.ready(now)), (2, 9));
    due.free_slot();
    assert_eq!(due.running(), 1);
}

#[tokio::test]
async fn looks_and_what_somebody_waits_for_take_turns() {
    let now = Instant::now();
    let mut due = Due::new(ListRules::of(&Settings { list_from: 0, ..Settings::default() }));
    for _ in 0..10 {
        look(&mut due, owner("a"), now);
    }
    assert!(step(&mut due, now).is_some());
    let urgent = [insert(&mut due, owner("a"), now), insert(&mut due, owner("a"), now)];
    let next: Vec<OrderId> = (0..4).map(|_| step(&mut due, now).unwrap().0).collect();
    assert_eq!(next.iter().filter(|id| urgent.contains(id)).count(), 2, "two of four");
}

#[tokio::test]
async fn what_happens_during_a_step_is_not_lost() {
    let now = Instant::now();
    let mut due = queue();
    let id = insert(&mut due, owner("a"), now);
    let (_, mut memory) = step(&mut due, now).unwrap();
    assert!(due.take(now).is_none(), "one task per order");
    memory.version = 3;
    due.notice(id, &owner("a"), 4, now);
    due.finish(id, memory.clone(), Next::after(after(30)), now);
    assert!(due.take(now).is_some(), "version 4 was not its own write");
    memory.version = 4;
    due.finish(id, memory, Next::after(after(30)), now);
    due.notice(id, &owner("a"), 4, now);
    assert!(due.take(now).is_none(), "its own write wakes nobody");
    assert_eq!(due.next_at(), Some(now + after(30)));
    due.nudge(id, now);
    assert!(due.take(now).is_some());
}

#[tokio::test]
async fn a_step_that_could_not_read_its_order_does_not_spin() {
    let now = Instant::now();
    let mut due = queue();
    let id = insert(&mut due, owner("a"), now);
    due.notice(id, &owner("a"), 7, now);
    let (_, memory) = step(&mut due, now).unwrap();
    due.nudge(id, now);
    due.finish(id, memory, Next::held(after(1)), now);
    assert!(due.take(now).is_none());
    assert!(due.take(now + after(1)).is_some());
}

#[tokio::test]
async fn quota_that_became_free_is_offered_to_one_at_a_time() {
    let now = Instant::now();
    let mut due = queue();
    let next = Next { on_quota: true, ..Next::after(after(60)) };
    for _ in 0..3 {
        insert(&mut due, owner("a"), now);
        let (id, memory) = step(&mut due, now).unwrap();
        due.finish(id, memory, next, now);
    }
    due.nudge_waiting_for_quota(now);
    assert!(step(&mut due, now).is_some_and(|(_, memory)| memory.quota_freed));
    assert!(due.take(now).is_none());
}

#[tokio::test]
async fn many_looks_that_are_due_about_the_same_time_are_one_list_and_few_are_not() {
    let now = Instant::now();
    let mut due = queue();
    let few = looks(&mut due, 7, now);
    let taken: Vec<OrderId> = (0..7).map(|_| step(&mut due, now).unwrap().0).collect();
    assert_eq!(taken.len(), few.len());

    let mut due = Due::new(queue().rules);
    looks(&mut due, 20, now);
    assert!(step(&mut due, now).is_some(), "more may be loaded, and a list would miss it");

    let mut due = queue();
    let soon: Vec<OrderId> =
        (0..30).map(|n| look(&mut due, owner("a"), now + Duration::from_millis(400 * n))).collect();
    let later = look(&mut due, owner("a"), now + after(16));
    let until = list(&mut due, now);
    assert_eq!((due.running(), due.ready(now)), (1, 0), "one slot for all of them");
    assert!(due.take(now).is_none());
    assert!(due.shown(later, until).is_none(), "that one is not due for long");
    spare(&mut due, &soon, until, 1, now);
    assert!(due.shown(soon[0], until).is_none(), "once is enough");
    assert!(due.take(now + after(15)).is_none());
    assert!(step(&mut due, now + after(16)).is_some_and(|(id, _)| id == later), "one alone is no list");
}

#[tokio::test]
async fn what_a_list_does_not_show_is_looked_at_by_itself() {
    let now = Instant::now();
    let mut due = queue();
    let all = looks(&mut due, 20, now);
    let until = list(&mut due, now);
    for id in &all[1..] {
        let memory = due.shown(*id, until).unwrap();
        due.finish(*id, memory, Next::after(after(30)), now);
    }
    assert_eq!(due.end_list(&inventory(), until, Ended { pages: 1, spared: 19, ..Ended::default() }, now), 1);
    let (id, memory) = step(&mut due, now).unwrap();
    assert_eq!((id, memory.inventory), (all[0], None));
}

#[tokio::test]
async fn what_happens_to_an_order_while_a_list_runs_has_its_own_step_at_once() {
    let now = Instant::now();
    let mut due = queue();
    let all = looks(&mut due, 20, now);
    let until = list(&mut due, now);
    due.notice(all[3], &owner("a"), 9, now);
    assert_eq!(step(&mut due, now).unwrap().0, all[3]);
    assert!(due.shown(all[3], until).is_none());
    due.nudge(all[4], now);
    assert!(due.shown(all[4], until).is_none());
    let memory = due.shown(all[5], until).unwrap();
    due.nudge(all[5], now);
    due.finish(all[5], memory, Next::after(after(30)), now);
    let next = [step(&mut due, now).unwrap().0, step(&mut due, now).unwrap().0];
    assert!(next.contains(&all[4]) && next.contains(&all[5]));
}

#[tokio::test]
async fn an_inventory_is_listed_once_at_a_time_and_more_often_than_its_pages_are_worth_never() {
    let now = Instant::now();
    let mut due = queue();
    let first = looks(&mut due, 20, now);
    let until = list(&mut due, now);
    let second = looks(&mut due, 30, now);
    assert!(due.take(now).is_none(), "they wait for the next list");
    spare(&mut due, &first, until, 15, now);
    let until = list(&mut due, now + after(1));
    spare(&mut due, &second, until, 16, now + after(1));
    looks(&mut due, 31, now + after(2));
    assert!(step(&mut due, now + after(2)).is_some(), "31 looks are cheaper than two times 16 pages");
}

#[tokio::test]
async fn a_list_that_fails_or_does_not_tell_is_not_asked_for_again_for_a_while() {
    let now = Instant::now();
    let wait = Some(after(30));
    for (ended, lists) in [(Ended { not_within: wait, ..Ended::default() }, 1), (Ended::default(), 2)] {
        let mut due = queue();
        looks(&mut due, 20, now);
        for _ in 0..lists {
            let until = list(&mut due, now);
            assert_eq!(due.end_list(&inventory(), until, ended, now), 20);
            due.free_slot();
            looks(&mut due, 20, now);
        }
        while let Some(work) = due.take(now) {
            assert!(matches!(work, Work::Step(..)), "{work:?}");
        }
        looks(&mut due, 20, now + after(700));
        list(&mut due, now + after(700));
    }
}

#[tokio::test]
async fn orders_that_were_never_asked_for_are_counted() {
    let now = Instant::now();
    let mut due = queue();
    let [one, two] = [OrderId::generate(), OrderId::generate()];
    due.notice(one, &owner("a"), 1, now);
    due.notice(two, &owner("a"), 1, now);
    due.notice(OrderId::generate(), &owner("a"), 5, now);
    assert_eq!(due.unasked(), 2);
    let mut taken = Vec::new();
    while let Some((id, memory)) = step(&mut due, now) {
        taken.push((id, memory));
    }
    for (id, memory) in taken {
        let next = if id == two { Next::FORGET } else { Next::EVENT };
        due.finish(id, Memory { unasked: id == one, ..memory }, next, now);
    }
    assert_eq!(due.unasked(), 1);
}
