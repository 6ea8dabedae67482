//! Recorded: creates that broke off in the middle, and creates that happened twice.

use super::life::{until, until_gone};
use super::stage::{attempt, play};
use crate::{attachment, compute, network, volume};
use archipel_sdk::cloud::{Known, Observed, Status};
use serde_json::json;

#[test]
fn recorded_network_without_its_subnet_is_found_and_completed() {
    play("half-made", "biology", |stage| {
        let order = stage.order(
            1,
            "network",
            &json!({"name": "half", "cidr": "10.83.0.0/24", "allocation": "static"}),
            &[],
        );
        // What is there when the daemon dies between the two calls.
        let id = stage.fact("network", |_, live, _| {
            let body = json!({"network": {"name": "half", "description": order.tag}});
            live.raw("POST", "network", "/v2.0/networks", Some(body)).1["network"]["id"].clone()
        });
        let found = network::find(&stage.cloud(), &order).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].instance.id.as_str(), found[0].instance.status),
            (id.as_str().unwrap(), Status::Creating)
        );
        let known = Known { id: &found[0].instance.id, driver_state: &found[0].driver_state, order: &order };
        stage.count();
        assert!(
            matches!(network::get(&stage.cloud(), known).unwrap(), Observed::Present(half) if half.status == Status::Creating)
        );
        assert_eq!(stage.count(), 2, "looked and completed");
        assert!(
            matches!(network::get(&stage.cloud(), known).unwrap(), Observed::Present(whole) if whole.status == Status::Ready)
        );
        assert_eq!(stage.count(), 1, "once");
        network::delete(&stage.cloud(), known).unwrap();
        until_gone(stage, network::get, &order, known.id);
    });
}

#[test]
fn recorded_instances_made_twice_are_found_oldest_first() {
    play("twice", "biology", |stage| {
        let machine = stage.order(1, "compute", &json!({"image": "@cirros"}), &[]);
        let disk = stage.order(2, "volume", &json!({"size_gib": 1}), &[]);
        let mut servers = Vec::new();
        let mut volumes = Vec::new();
        for number in 1..=2 {
            servers.push(compute::request(&stage.cloud(), &attempt(&machine, number)).unwrap().id);
            volumes.push(volume::request(&stage.cloud(), &attempt(&disk, number)).unwrap().id);
            // Both services tell seconds.
            stage.at_the_peer(|_, _| std::thread::sleep(std::time::Duration::from_millis(1100)));
        }
        let ids = |found: Vec<archipel_sdk::cloud::Tagged>| -> Vec<String> {
            found.into_iter().map(|one| one.instance.id).collect()
        };
        assert_eq!(ids(compute::find(&stage.cloud(), &machine).unwrap()), servers);
        assert_eq!(ids(volume::find(&stage.cloud(), &disk).unwrap()), volumes);
        for id in &servers {
            compute::delete(&stage.cloud(), Known { id, driver_state: "", order: &machine }).unwrap();
        }
        for id in &volumes {
            let known = Known { id, driver_state: "", order: &disk };
            stage.until("deletable", || volume::delete(&stage.cloud(), known).ok());
        }
        servers.iter().for_each(|id| until_gone(stage, compute::get, &machine, id));
        volumes.iter().for_each(|id| until_gone(stage, volume::get, &disk, id));
    });
}

#[test]
fn recorded_attachment_ends_with_its_machine_and_only_ours_is_found() {
    play("machine-deleted", "biology", |stage| {
        let machine = stage.order(1, "compute", &json!({"image": "@cirros"}), &[]);
        let disk = stage.order(2, "volume", &json!({"size_gib": 1}), &[]);
        let server = compute::request(&stage.cloud(), &attempt(&machine, 1)).unwrap().id;
        let volume = volume::request(&stage.cloud(), &attempt(&disk, 1)).unwrap().id;
        until(stage, compute::get, &machine, &server, Status::Ready);
        until(stage, volume::get, &disk, &volume, Status::Ready);
        let ask = json!({"compute": machine.id, "volume": disk.id});
        let joined = stage.order(3, "attachment", &ask, &[(&machine, &server), (&disk, &volume)]);
        let id = attachment::request(&stage.cloud(), &attempt(&joined, 1)).unwrap().id;
        until(stage, attachment::get, &joined, &id, Status::Ready);
        // The same pair for another order is another's.
        let other = stage.order(4, "attachment", &ask, &[(&machine, &server), (&disk, &volume)]);
        assert!(attachment::find(&stage.cloud(), &other).unwrap().is_empty());
        compute::delete(&stage.cloud(), Known { id: &server, driver_state: "", order: &machine }).unwrap();
        until_gone(stage, compute::get, &machine, &server);
        until_gone(stage, attachment::get, &joined, &id);
        attachment::delete(&stage.cloud(), Known { id: &id, driver_state: "", order: &joined }).unwrap();
        until(stage, volume::get, &disk, &volume, Status::Ready);
        volume::delete(&stage.cloud(), Known { id: &volume, driver_state: "", order: &disk }).unwrap();
        until_gone(stage, volume::get, &disk, &volume);
    });
}
