//! Recorded: what the cloud offers and what is left of it, in pages of one.

use super::stage::{attempt, play};
use crate::config::Config;
use crate::{compute, flavors, images, networks, quota, volume};
use archipel_sdk::cloud::{Known, QuotaEntry, Status};
use serde_json::json;

#[test]
fn recorded_specs_images_and_networks_in_pages_of_one() {
    play("catalogue", "biology", |stage| {
        let config = Config { page_size: 1, ..Config::default() };
        let cloud = stage.cloud_with(&config);
        let specs: Vec<_> =
            flavors::fresh(&cloud).unwrap().value.iter().map(|flavor| flavor.entry()).collect();
        let sizes: Vec<_> = specs.iter().map(|spec| (spec.vcpu, spec.ram_mib)).collect();
        assert!(sizes.is_sorted() && specs.len() >= 3, "{specs:?}");
        assert!(specs.iter().any(|spec| spec.name == "m1.tiny"));
        assert!(stage.count() >= specs.len(), "one page each");
        let images: Vec<_> = images::fresh(&cloud).unwrap().value.iter().map(|image| image.entry()).collect();
        let cirros = images.iter().find(|image| image.name == "cirros").unwrap();
        assert_eq!((cirros.status.as_str(), cirros.size_bytes.is_some()), ("active", true));
        let networks = networks::list(&cloud).unwrap();
        let common = networks.iter().find(|network| network.name == "common").unwrap();
        assert_eq!((common.cidr.as_deref(), common.shared), (Some("10.96.0.0/16"), true));
        assert!(networks.iter().all(|network| network.name != "public"), "not to be joined: {networks:?}");
    });
}

#[test]
fn recorded_quota_of_all_services_counts_what_is_made() {
    play("usage", "chemistry", |stage| {
        let entry = |entries: &[QuotaEntry], name: &str| {
            entries.iter().find(|entry| entry.name == name).map(|entry| (entry.total, entry.used)).unwrap()
        };
        let before = quota::get(&stage.cloud()).unwrap();
        assert_eq!(stage.count(), 3, "one call per service");
        for name in ["instances", "vcpu", "ram_mib", "volumes", "storage_gib", "networks", "public_ips"] {
            entry(&before, name);
        }
        assert_eq!(entry(&before, "instances").0, Some(1));
        assert_eq!(entry(&before, "subnetpool").0, None, "−1 is no limit");
        let disk = stage.order(1, "volume", &json!({"size_gib": 1}), &[]);
        let machine = stage.order(2, "compute", &json!({"image": "@cirros"}), &[]);
        let volume = volume::request(&stage.cloud(), &attempt(&disk, 1)).unwrap().id;
        let server = compute::request(&stage.cloud(), &attempt(&machine, 1)).unwrap().id;
        // Nova counts a machine when it has a host.
        super::life::until(stage, compute::get, &machine, &server, Status::Ready);
        let after = quota::get(&stage.cloud()).unwrap();
        for (name, more) in [
            ("instances", 1),
            ("vcpu", 1),
            ("ram_mib", 512),
            ("volumes", 1),
            ("storage_gib", 1),
            ("networks", 0),
        ] {
            assert_eq!(entry(&after, name).1, entry(&before, name).1 + more, "{name}");
        }
        compute::delete(&stage.cloud(), Known { id: &server, driver_state: "", order: &machine }).unwrap();
        let known = Known { id: &volume, driver_state: "", order: &disk };
        stage.until("deletable", || volume::delete(&stage.cloud(), known).ok());
        super::life::until_gone(stage, compute::get, &machine, &server);
        super::life::until_gone(stage, volume::get, &disk, &volume);
    });
}

#[test]
fn recorded_pages_of_tagged_machines_end_and_leave_out_other_sites() {
    play("pages", "biology", |stage| {
        let ask = json!({"image": "@cirros"});
        let orders: Vec<_> = (1..=3).map(|number| stage.order(number, "compute", &ask, &[])).collect();
        let ids: Vec<_> = orders
            .iter()
            .map(|order| compute::request(&stage.cloud(), &attempt(order, 1)).unwrap().id)
            .collect();
        let config =
            Config { page_size: 2, site: Some("recorded.example.org".to_owned()), ..Config::default() };
        let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = compute::list(&stage.cloud_with(&config), cursor.as_deref()).unwrap();
            seen.extend(page.items.into_iter().map(|item| item.tag));
            pages += 1;
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert!(pages >= 2);
        assert!(
            orders.iter().all(|order| seen.iter().filter(|tag| **tag == order.tag).count() == 1),
            "{seen:?}"
        );
        let other = Config { site: Some("other.example.org".to_owned()), ..Config::default() };
        assert!(compute::list(&stage.cloud_with(&other), None).unwrap().items.is_empty());
        let error = compute::list(&stage.cloud(), Some("00000000-0000-4000-8000-000000000000")).unwrap_err();
        assert_eq!(error.kind(), archipel_sdk::ErrorKind::Invalid, "{error:?}");
        for (order, id) in orders.iter().zip(&ids) {
            compute::delete(&stage.cloud(), Known { id, driver_state: "", order }).unwrap();
        }
        for (order, id) in orders.iter().zip(&ids) {
            super::life::until_gone(stage, compute::get, order, id);
        }
    });
}
