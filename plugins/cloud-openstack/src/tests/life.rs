//! Recorded: the whole life of one order of each kind, as the host leads it.

use super::stage::{Stage, attempt, play};
use crate::cloud::Cloud;
use crate::{attachment, compute, network, volume};
use archipel_sdk::cloud::{Instance, Known, Observed, OrderRef, Page, Status, Tagged};
use archipel_sdk::{ErrorKind, Result};
use serde_json::json;

/// One of the modules' `get`.
type Get = fn(&Cloud<'_>, Known<'_>) -> Result<Observed>;

fn known<'a>(order: &'a OrderRef, id: &'a str) -> Known<'a> {
    Known { id, driver_state: "", order }
}

/// Looks until it is there in this status.
pub(super) fn until(stage: &Stage, get: Get, order: &OrderRef, id: &str, status: Status) -> Instance {
    stage.until("so", || match get(&stage.cloud(), known(order, id)).unwrap() {
        Observed::Present(instance) if instance.status == status => Some(instance),
        Observed::Present(instance) => {
            assert_ne!(instance.status, Status::Failed, "{instance:?}");
            None
        }
        Observed::Gone => panic!("{} {id} is gone", order.kind),
    })
}

/// Looks until it is gone.
pub(super) fn until_gone(stage: &Stage, get: Get, order: &OrderRef, id: &str) {
    stage.until("gone", || {
        matches!(get(&stage.cloud(), known(order, id)).unwrap(), Observed::Gone).then_some(())
    });
}

fn only(found: &[Tagged], order: &OrderRef, id: &str) {
    let shown: Vec<_> = found.iter().map(|one| (one.tag.as_str(), one.instance.id.as_str())).collect();
    assert_eq!(shown, [(order.tag.as_str(), id)]);
}

fn lists(page: &Page, order: &OrderRef, id: &str) {
    let ours = page.items.iter().find(|one| one.tag == order.tag);
    assert_eq!(ours.map(|one| one.instance.id.as_str()), Some(id), "{page:?}");
}

#[test]
fn recorded_life_of_an_order_of_each_kind() {
    play("life", "physics", |stage| {
        let on = stage.order(
            1,
            "network",
            &json!({"name": "life-net", "cidr": "10.81.0.0/24", "gateway": "10.81.0.254"}),
            &[],
        );
        let disk = stage.order(2, "volume", &json!({"name": "life-volume", "size_gib": 1}), &[]);

        let network = network::request(&stage.cloud(), &attempt(&on, 1)).unwrap().id;
        assert_eq!(stage.count(), 2, "network and subnet");
        let volume = volume::request(&stage.cloud(), &attempt(&disk, 1)).unwrap().id;
        assert_eq!(stage.count(), 1);
        until(stage, network::get, &on, &network, Status::Ready);
        let ready = until(stage, volume::get, &disk, &volume, Status::Ready);
        assert_eq!(ready.allocation.disk_gib, Some(1));

        let ask = json!({
        "name": "life vm", "image": "@cirros", "vcpu": 1, "ram_mib": 600, "networks": [{"order": on.id}],
        "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG recorded", "user_data": "#!/bin/sh\necho recorded\n",
        "security_groups": ["default"], "availability_zone": "nova"});
        let machine = stage.order(3, "compute", &ask, &[(&on, &network)]);
        stage.count();
        let server = compute::request(&stage.cloud(), &attempt(&machine, 1)).unwrap().id;
        assert_eq!(stage.count(), 3, "cold: images, flavours, the create");
        let ready = until(stage, compute::get, &machine, &server, Status::Ready);
        assert_eq!(ready.cloud_state, "ACTIVE");
        assert_eq!(
            (ready.allocation.vcpu, ready.allocation.ram_mib),
            (Some(1), Some(2048)),
            "the smallest that fits"
        );
        assert!(ready.addresses[0].starts_with("10.81.0."), "{ready:?}");

        let ask = json!({"compute": machine.id, "volume": disk.id});
        let joined = stage.order(4, "attachment", &ask, &[(&machine, &server), (&disk, &volume)]);
        stage.count();
        let attached = attachment::request(&stage.cloud(), &attempt(&joined, 1)).unwrap().id;
        assert_eq!(stage.count(), 2, "the note and the attachment");
        assert_eq!(attached, format!("{server}:{volume}"));
        assert_eq!(until(stage, attachment::get, &joined, &attached, Status::Ready).cloud_state, "in-use");

        only(&network::find(&stage.cloud(), &on).unwrap(), &on, &network);
        only(&volume::find(&stage.cloud(), &disk).unwrap(), &disk, &volume);
        only(&compute::find(&stage.cloud(), &machine).unwrap(), &machine, &server);
        only(&attachment::find(&stage.cloud(), &joined).unwrap(), &joined, &attached);
        let other = stage.order(9, "compute", &json!({"image": "@cirros"}), &[]);
        assert!(compute::find(&stage.cloud(), &other).unwrap().is_empty());
        lists(&network::list(&stage.cloud(), None).unwrap(), &on, &network);
        lists(&volume::list(&stage.cloud(), None).unwrap(), &disk, &volume);
        lists(&compute::list(&stage.cloud(), None).unwrap(), &machine, &server);
        lists(&attachment::list(&stage.cloud(), None).unwrap(), &joined, &attached);

        let error = volume::delete(&stage.cloud(), known(&disk, &volume)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        let error = network::delete(&stage.cloud(), known(&on, &network)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        assert!(error.message().contains("ports still in use"), "{error}");

        attachment::delete(&stage.cloud(), known(&joined, &attached)).unwrap();
        until_gone(stage, attachment::get, &joined, &attached);
        assert!(attachment::find(&stage.cloud(), &joined).unwrap().is_empty());
        until(stage, volume::get, &disk, &volume, Status::Ready);
        volume::delete(&stage.cloud(), known(&disk, &volume)).unwrap();
        compute::delete(&stage.cloud(), known(&machine, &server)).unwrap();
        until_gone(stage, volume::get, &disk, &volume);
        until_gone(stage, compute::get, &machine, &server);
        stage.until("free", || network::delete(&stage.cloud(), known(&on, &network)).ok());
        until_gone(stage, network::get, &on, &network);

        // What is not there is deleted without a word, and found nowhere.
        network::delete(&stage.cloud(), known(&on, &network)).unwrap();
        volume::delete(&stage.cloud(), known(&disk, &volume)).unwrap();
        compute::delete(&stage.cloud(), known(&machine, &server)).unwrap();
        attachment::delete(&stage.cloud(), known(&joined, &attached)).unwrap();
        assert!(network::find(&stage.cloud(), &on).unwrap().is_empty());
        assert!(volume::find(&stage.cloud(), &disk).unwrap().is_empty());
        assert!(compute::find(&stage.cloud(), &machine).unwrap().is_empty());
    });
}

#[test]
fn recorded_second_machine_of_a_project_costs_one_call() {
    play("warm", "biology", |stage| {
        let ask =
            json!({"image": "@cirros", "vcpu": 1, "ram_mib": 256, "networks": [{"cloud_id": "common"}]});
        let (first, second) = (stage.order(1, "compute", &ask, &[]), stage.order(2, "compute", &ask, &[]));
        let one = compute::request(&stage.cloud(), &attempt(&first, 1)).unwrap().id;
        assert_eq!(stage.count(), 4, "images, flavours, networks, the create");
        let two = compute::request(&stage.cloud(), &attempt(&second, 1)).unwrap().id;
        assert_eq!(stage.count(), 1, "P7: calls per created machine with warm caches");
        assert_ne!(one, two);
        for (order, id) in [(&first, &one), (&second, &two)] {
            until(stage, compute::get, order, id, Status::Ready);
            compute::delete(&stage.cloud(), known(order, id)).unwrap();
        }
        for (order, id) in [(&first, &one), (&second, &two)] {
            until_gone(stage, compute::get, order, id);
        }
    });
}

#[test]
fn recorded_machine_that_boots_from_a_volume() {
    play("boot-volume", "biology", |stage| {
        let flavor = stage.fact("flavor", |peer, _, _| peer["flavors"]["m1.tiny"].clone());
        let image = stage.fact("image", |peer, _, _| peer["image"]["id"].clone());
        let ask = json!({"image": image, "spec": flavor, "boot_volume": 2});
        let order = stage.order(1, "compute", &ask, &[]);
        let id = compute::request(&stage.cloud(), &attempt(&order, 1)).unwrap().id;
        assert_eq!(stage.count(), 2, "the default network by its name, the create");
        let ready = until(stage, compute::get, &order, &id, Status::Ready);
        assert_eq!(ready.allocation.disk_gib, Some(2));
        compute::delete(&stage.cloud(), known(&order, &id)).unwrap();
        until_gone(stage, compute::get, &order, &id);
    });
}
