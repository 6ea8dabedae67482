//! What users and hosts see of the cloud when nothing goes wrong, and what it refuses.

use super::fake::{Desk, FakeWorld, config, order};
use super::ledgers::check;
use crate::naming::Kind;
use archipel_sdk::ErrorKind;
use archipel_sdk::cloud::{Known, Status};

const QUICK: &str = r#"{"boot_ms": 0, "delete_ms": 0}"#;
const CIRROS: &str = r#"{"name": "web", "image": "@cirros"}"#;

#[test]
fn a_compute_boots_by_the_clock_and_goes_by_the_clock() {
    let (world, config) = (FakeWorld::new(), config(r#"{"boot_ms": 1000, "delete_ms": 400}"#));
    let desk = Desk::of(&world, &config, "a");
    let id = desk.compute("o", CIRROS).unwrap();
    let young = desk.get(Kind::Compute, &id).unwrap().unwrap();
    assert_eq!(
        (young.status, young.cloud_state.as_str(), young.addresses.len()),
        (Status::Creating, "building", 0)
    );
    assert!(young.poll_after_ms.unwrap() >= 750);
    world.pass(1250);
    let ready = desk.get(Kind::Compute, &id).unwrap().unwrap();
    assert_eq!((ready.status, ready.addresses.len(), ready.poll_after_ms), (Status::Ready, 1, None));
    assert_eq!(
        (ready.allocation.vcpu, ready.allocation.ram_mib, ready.allocation.disk_gib),
        (Some(1), Some(512), Some(5))
    );
    desk.delete(Kind::Compute, &id).unwrap();
    desk.delete(Kind::Compute, &id).unwrap();
    let leaving = desk.get(Kind::Compute, &id).unwrap().unwrap();
    assert_eq!((leaving.status, leaving.cloud_state.as_str()), (Status::Busy, "deleting"));
    world.pass(500);
    assert!(desk.get(Kind::Compute, &id).unwrap().is_none());
    desk.delete(Kind::Compute, &id).unwrap();
    let left: Vec<_> = world.state().map.keys().cloned().collect();
    assert!(matches!(left.as_slice(), [ledger] if ledger.starts_with("q/")), "{left:?}");
}

#[test]
fn accounts_do_not_see_each_other() {
    let (world, config) = (FakeWorld::new(), config(QUICK));
    let (a, b) = (Desk::of(&world, &config, "a"), Desk::of(&world, &config, "b"));
    let id = a.volume("o", 1).unwrap();
    assert!(b.get(Kind::Volume, &id).unwrap().is_none());
    assert!(b.find(Kind::Volume, "o").unwrap().is_empty());
    assert_eq!((a.used("volumes"), b.used("volumes")), (1, 0));
    b.delete(Kind::Volume, &id).unwrap();
    assert!(a.get(Kind::Volume, &id).unwrap().is_some());
}

#[test]
fn a_repeated_request_makes_a_second_instance_and_find_tells_the_oldest_first() {
    let (world, config) = (FakeWorld::new(), config(QUICK));
    let desk = Desk::of(&world, &config, "a");
    let first = desk.compute("o", CIRROS).unwrap();
    world.pass(5);
    let second = desk.attempt(2).compute("o", CIRROS).unwrap();
    assert_ne!(first, second);
    let found = desk.find(Kind::Compute, "o").unwrap();
    let seen: Vec<_> =
        found.iter().map(|tagged| (tagged.instance.id.as_str(), tagged.driver_state.as_str())).collect();
    assert_eq!(
        seen,
        [(first.as_str(), r#"{"v":1,"attempt":1}"#), (second.as_str(), r#"{"v":1,"attempt":2}"#)]
    );
}

#[test]
fn late_visibility_hides_an_instance_from_get_find_list_and_delete() {
    let (world, config) = (FakeWorld::new(), config(r#"{"boot_ms": 0, "visibility_ms": 800}"#));
    let desk = Desk::of(&world, &config, "a");
    let id = desk.volume("o", 1).unwrap();
    assert!(desk.get(Kind::Volume, &id).unwrap().is_none());
    assert!(desk.find(Kind::Volume, "o").unwrap().is_empty());
    assert!(desk.cloud.list(Kind::Volume, None).unwrap().items.is_empty());
    desk.delete(Kind::Volume, &id).unwrap();
    world.pass(800);
    assert_eq!(desk.get(Kind::Volume, &id).unwrap().unwrap().status, Status::Ready);
    assert_eq!(desk.find(Kind::Volume, "o").unwrap().len(), 1);
}

#[test]
fn a_quota_is_refused_with_figures_and_room_comes_back_with_the_delete() {
    let (world, config) = (FakeWorld::new(), config(r#"{"boot_ms": 0, "capacity": {"instances": 2}}"#));
    let desk = Desk::of(&world, &config, "a");
    let id = desk.compute("1", CIRROS).unwrap();
    desk.compute("2", CIRROS).unwrap();
    let error = desk.compute("3", CIRROS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    assert_eq!(error.message(), "instances: 2 of 2 are used and 1 more are needed");
    desk.delete(Kind::Compute, &id).unwrap();
    desk.compute("3", CIRROS).unwrap();
    check(&world, &desk, "at the end");
}

#[test]
fn ten_thousand_instances_are_listed_page_by_page() {
    let (world, config) = (FakeWorld::new(), config(QUICK));
    let desk = Desk::of(&world, &config, "a");
    for n in 0..10_000 {
        desk.compute(&n.to_string(), CIRROS).unwrap();
    }
    let (mut cursor, mut seen, mut pages) = (None, std::collections::BTreeSet::new(), 0);
    loop {
        let before = world.state().reads;
        let page = desk.cloud.list(Kind::Compute, cursor.as_deref()).unwrap();
        assert!(world.state().reads - before <= 500);
        pages += 1;
        seen.extend(page.items.into_iter().map(|item| item.instance.id));
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (10_000, 20));
    let before = world.state().reads;
    assert_eq!(desk.find(Kind::Compute, "77").unwrap().len(), 1);
    assert_eq!(world.state().reads - before, 1, "a search reads its own tag only");
    check(&world, &desk, "after ten thousand");
}

#[test]
fn a_small_network_gives_every_address_once_and_then_no_more() {
    let (world, config) = (FakeWorld::new(), config(QUICK));
    let desk = Desk::of(&world, &config, "a");
    let network = desk.network("n", "192.168.7.0/28").unwrap();
    let spec = r#"{"image": "@cirros", "networks": [{"order": "n"}]}"#;
    let make =
        |id: &str| desk.make(Kind::Compute, &order(Kind::Compute, id, spec, &[("network", "n", &network)]));
    let ids: Vec<_> = (0..13).map(|n| make(&n.to_string()).unwrap().id).collect();
    let full = make("14").unwrap_err();
    assert_eq!((full.kind(), desk.used("instances")), (ErrorKind::QuotaExceeded, 13));
    assert!(full.message().starts_with("all 13 addresses of network"), "{full}");
    check(&world, &desk, "when full");
    desk.delete(Kind::Compute, &ids[4]).unwrap();
    make("15").unwrap();
    check(&world, &desk, "when full again");
}

#[test]
fn a_network_in_use_cannot_be_deleted_and_stays_open() {
    let (world, config) = (FakeWorld::new(), config(QUICK));
    let desk = Desk::of(&world, &config, "a");
    let network = desk.network("n", "192.168.7.0/24").unwrap();
    let spec = format!(r#"{{"image": "@cirros", "networks": [{{"cloud_id": "{network}"}}]}}"#);
    let id = desk.compute("o", &spec).unwrap();
    assert_eq!(desk.delete(Kind::Network, &network).unwrap_err().kind(), ErrorKind::Conflict);
    let other = desk.compute("p", &spec).unwrap();
    desk.delete(Kind::Compute, &id).unwrap();
    desk.delete(Kind::Compute, &other).unwrap();
    desk.delete(Kind::Network, &network).unwrap();
    assert_eq!(desk.compute("q", &spec).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_volume_is_attached_once_and_cannot_be_deleted_meanwhile() {
    let (world, config) = (FakeWorld::new(), config(r#"{"boot_ms": 0, "delete_ms": {"compute": 300}}"#));
    let desk = Desk::of(&world, &config, "a");
    let (one, two) = (desk.compute("1", CIRROS).unwrap(), desk.compute("2", CIRROS).unwrap());
    let volume = desk.volume("v", 10).unwrap();
    let attachment = desk.attach("a", &one, &volume).unwrap();
    let twice = desk.attach("b", &two, &volume).unwrap_err();
    assert_eq!(
        (twice.kind(), twice.message()),
        (ErrorKind::Conflict, format!("volume `{volume}` is attached by `{attachment}`").as_str())
    );
    assert_eq!(desk.delete(Kind::Volume, &volume).unwrap_err().kind(), ErrorKind::Conflict);
    desk.delete(Kind::Attachment, &attachment).unwrap();
    desk.attach("b", &two, &volume).unwrap();
    check(&world, &desk, "after moving the volume");
}

#[test]
fn an_attachment_goes_with_its_compute() {
    let (world, config) = (FakeWorld::new(), config(r#"{"boot_ms": 0, "delete_ms": {"compute": 400}}"#));
    let desk = Desk::of(&world, &config, "a");
    let (compute, volume) = (desk.compute("1", CIRROS).unwrap(), desk.volume("v", 10).unwrap());
    let attachment = desk.attach("a", &compute, &volume).unwrap();
    desk.delete(Kind::Compute, &compute).unwrap();
    assert_eq!(desk.get(Kind::Attachment, &attachment).unwrap().unwrap().cloud_state, "deleting");
    world.pass(600);
    assert!(desk.get(Kind::Attachment, &attachment).unwrap().is_none());
    desk.delete(Kind::Volume, &volume).unwrap();
    check(&world, &desk, "at the end");
}

#[test]
fn what_is_attached_must_be_there_and_ready() {
    let (world, config) = (FakeWorld::new(), config(r#"{"boot_ms": {"volume": 1000}, "delete_ms": 1000}"#));
    let desk = Desk::of(&world, &config, "a");
    let compute = desk.compute("1", CIRROS).unwrap();
    let missing = format!("vol-{}-{}", "0".repeat(16), "0".repeat(19));
    assert_eq!(desk.attach("a", &compute, &missing).unwrap_err().kind(), ErrorKind::NotFound);
    let volume = desk.volume("v", 10).unwrap();
    assert!(desk.attach("a", &compute, &volume).unwrap_err().message().ends_with("is still being created"));
    world.pass(1300);
    desk.delete(Kind::Volume, &volume).unwrap();
    assert!(desk.attach("a", &compute, &volume).unwrap_err().message().ends_with("is being deleted"));
}

#[test]
fn whatever_a_spec_gets_wrong_is_invalid_and_counts_for_nothing() {
    let (world, config) = (FakeWorld::new(), config(QUICK));
    let desk = Desk::of(&world, &config, "a");
    for spec in [
        r#"{}"#,
        r#"{"image": "@windows"}"#,
        r#"{"image": "@cirros", "spec": "huge"}"#,
        r#"{"image": "@cirros", "vcpu": 1000}"#,
        r#"{"image": "@cirros", "networks": [{"cloud_id": "nowhere"}]}"#,
        r#"{"image": "@cirros", "networks": [{"order": "not-mine"}]}"#,
        r#"{"image": "@cirros", "networks": [{"cloud_id": "default"}, {"cloud_id": "default"}]}"#,
        r#"{"image": "@cirros", "availability_zone": "mars"}"#,
        r#"{"image": "@cirros", "security_groups": ["web"]}"#,
        r#"{"image": "@ubuntu", "boot_volume": 1}"#,
    ] {
        assert_eq!(desk.compute("o", spec).unwrap_err().kind(), ErrorKind::Invalid, "{spec}");
    }
    assert_eq!(desk.volume("v", 0).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(desk.network("n", "10.0.0.1/24").unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(world.state().writes, 0);
}

#[test]
fn networks_of_the_cloud_come_before_the_accounts_own() {
    let (world, config) = (FakeWorld::new(), config(QUICK));
    let desk = Desk::of(&world, &config, "a");
    let own = desk.network("n", "192.168.7.0/24").unwrap();
    let networks = desk.cloud.networks().unwrap();
    let seen: Vec<_> = networks.iter().map(|network| (network.id.as_str(), network.shared)).collect();
    assert_eq!(seen, [("default", true), (own.as_str(), false)]);
}

#[test]
fn an_expired_token_is_refused() {
    let (world, config) = (FakeWorld::new(), config("{}"));
    let enter = |account, expires| {
        crate::cloud::Cloud::enter(&world, &config, account, expires).err().map(|e| e.kind())
    };
    assert_eq!(enter("a", Some(0)), Some(ErrorKind::Unauthenticated));
    assert_eq!(enter("", None), Some(ErrorKind::Unauthenticated));
    assert_eq!(enter("a", Some(1)), None);
}

#[test]
fn a_host_that_loses_the_driver_state_is_told() {
    let (world, config) = (FakeWorld::new(), config(QUICK));
    let desk = Desk::of(&world, &config, "a");
    let id = desk.volume("o", 1).unwrap();
    let order = order(Kind::Volume, "o", "{}", &[]);
    assert!(desk.cloud.get(Kind::Volume, Known { id: &id, driver_state: "", order: &order }).is_err());
}
