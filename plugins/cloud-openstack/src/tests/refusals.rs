//! Recorded: what the services say when they refuse, and what the driver makes of it.

use super::life::until_gone;
use super::stage::{attempt, play};
use crate::{compute, network, volume};
use archipel_sdk::cloud::{Known, Observed, Status};
use archipel_sdk::{Applied, ErrorKind};
use serde_json::json;

#[test]
fn recorded_quota_in_the_services_own_words() {
    play("quota", "chemistry", |stage| {
        let tiny = json!({"image": "@cirros", "vcpu": 1, "ram_mib": 256});
        let first = stage.order(1, "compute", &tiny, &[]);
        let id = compute::request(&stage.cloud(), &attempt(&first, 1)).unwrap().id;
        let second = stage.order(2, "compute", &tiny, &[]);
        let error = compute::request(&stage.cloud(), &attempt(&second, 1)).unwrap_err();
        assert_eq!(
            (error.kind(), error.applied_state()),
            (ErrorKind::QuotaExceeded, Applied::No),
            "{error:?}"
        );
        assert!(error.message().starts_with("nova: Quota exceeded for "), "{error}");

        let disk = stage.order(3, "volume", &json!({"size_gib": 1}), &[]);
        let volume = volume::request(&stage.cloud(), &attempt(&disk, 1)).unwrap().id;
        let more = stage.order(4, "volume", &json!({"size_gib": 1}), &[]);
        let error = volume::request(&stage.cloud(), &attempt(&more, 1)).unwrap_err();
        assert_eq!(
            (error.kind(), error.applied_state()),
            (ErrorKind::QuotaExceeded, Applied::No),
            "{error:?}"
        );
        assert!(error.message().starts_with("cinder: VolumeLimitExceeded"), "{error}");

        let known = Known { id: &id, driver_state: "", order: &first };
        compute::delete(&stage.cloud(), known).unwrap();
        until_gone(stage, compute::get, &first, &id);
        let known = Known { id: &volume, driver_state: "", order: &disk };
        stage.until("deletable", || volume::delete(&stage.cloud(), known).ok());
        until_gone(stage, volume::get, &disk, &volume);
    });
}

#[test]
fn recorded_requests_that_are_wrong() {
    play("wrong", "biology", |stage| {
        let image = stage.fact("image", |peer, _, _| peer["image"]["id"].clone());
        let tiny = stage.fact("flavor", |peer, _, _| peer["flavors"]["m1.tiny"].clone());
        let nothing = "00000000-0000-4000-8000-000000000000";
        for (number, (ask, words)) in [
            (
                json!({"image": image, "spec": tiny, "availability_zone": "mars"}),
                "nova: The requested availability zone",
            ),
            (
                json!({"image": image, "spec": nothing}),
                "nova: Flavor 00000000-0000-4000-8000-000000000000 could not be found",
            ),
            (json!({"image": nothing, "spec": tiny}), "nova: Can not find requested image"),
            (json!({"image": "@windows", "vcpu": 1}), "no image \"@windows\""),
            (json!({"image": nothing, "vcpu": 1}), "no image"),
            (json!({"image": "@cirros", "vcpu": 4000}), "no flavour of "),
            (
                json!({"image": image, "spec": tiny, "networks": [{"cloud_id": nothing}]}),
                "nova: Network 00000000",
            ),
            (
                json!({"image": image, "spec": tiny, "networks": [{"cloud_id": "mars"}]}),
                "no network \"mars\"",
            ),
            (
                json!({"image": image, "spec": tiny, "security_groups": ["mars"]}),
                "nova: Unable to find security_group",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let order = stage.order(u8::try_from(number).unwrap(), "compute", &ask, &[]);
            let error = compute::request(&stage.cloud(), &attempt(&order, 1)).unwrap_err();
            assert_eq!(
                (error.kind(), error.applied_state()),
                (ErrorKind::Invalid, Applied::No),
                "{ask}: {error:?}"
            );
            assert!(error.message().starts_with(words), "{ask}: {error}");
        }
        let order =
            stage.order(20, "volume", &json!({"size_gib": 1, "requirements": {"speed": "warp"}}), &[]);
        let error = volume::request(&stage.cloud(), &attempt(&order, 1)).unwrap_err();
        assert_eq!(error.message(), "no volume type of this cloud has speed=warp");
    });
}

#[test]
fn recorded_subnet_that_is_refused_leaves_no_network() {
    play("subnet-refused", "biology", |stage| {
        let order =
            stage.order(1, "network", &json!({"cidr": "10.82.0.0/24", "gateway": "10.82.0.255"}), &[]);
        let error = network::request(&stage.cloud(), &attempt(&order, 1)).unwrap_err();
        assert_eq!((error.kind(), error.applied_state()), (ErrorKind::Invalid, Applied::No), "{error:?}");
        assert!(error.message().contains("Gateway is not valid on subnet"), "{error}");
        assert_eq!(stage.count(), 3, "network, subnet, taken back");
        assert!(network::find(&stage.cloud(), &order).unwrap().is_empty());
    });
}

#[test]
fn recorded_machine_for_which_there_is_no_host() {
    play("no-host", "biology", |stage| {
        let flavor = stage.fact("flavor", |_, _, admin| {
            let body = json!({"flavor": {"name": "archipel-nowhere", "vcpus": 1, "ram": 64, "disk": 1}});
            let (_, made) = admin.raw("POST", "compute", "/flavors", Some(body));
            let id = made["flavor"]["id"].clone();
            let specs = json!({"extra_specs": {"trait:CUSTOM_ARCHIPEL_NOWHERE": "required"}});
            admin.raw(
                "POST",
                "compute",
                &format!("/flavors/{}/os-extra_specs", id.as_str().unwrap()),
                Some(specs),
            );
            id
        });
        let order = stage.order(
            1,
            "compute",
            &json!({"image": "@cirros", "requirements": {"trait:CUSTOM_ARCHIPEL_NOWHERE": "required"}}),
            &[],
        );
        let id = compute::request(&stage.cloud(), &attempt(&order, 1)).unwrap().id;
        stage.at_the_peer(|_, admin| {
            admin.raw("DELETE", "compute", &format!("/flavors/{}", flavor.as_str().unwrap()), None);
        });
        let known = Known { id: &id, driver_state: "", order: &order };
        let failed = stage.until("failed", || match compute::get(&stage.cloud(), known).unwrap() {
            Observed::Present(instance) if instance.status == Status::Failed => Some(instance),
            _ => None,
        });
        assert_eq!(failed.cloud_state, "ERROR");
        assert!(failed.fault.unwrap().contains("No valid host was found"));
        compute::delete(&stage.cloud(), known).unwrap();
        until_gone(stage, compute::get, &order, &id);
    });
}

#[test]
fn recorded_token_that_no_service_takes() {
    play("token", "biology", |stage| {
        let order = stage.order(1, "compute", &json!({"image": "i", "spec": "s", "networks": [{"cloud_id": "00000000-0000-4000-8000-000000000000"}]}), &[]);
        let id = "00000000-0000-4000-8000-000000000000";
        stage.lose_the_token();
        let errors = [
            compute::request(&stage.cloud(), &attempt(&order, 1)).unwrap_err(),
            compute::get(&stage.cloud(), Known { id, driver_state: "", order: &order }).unwrap_err(),
            volume::get(&stage.cloud(), Known { id, driver_state: "", order: &order }).unwrap_err(),
            network::delete(&stage.cloud(), Known { id, driver_state: "", order: &order }).unwrap_err(),
            crate::images::fresh(&stage.cloud()).err().unwrap(),
        ];
        for error in errors {
            assert_eq!(
                (error.kind(), error.applied_state()),
                (ErrorKind::Unauthenticated, Applied::No),
                "{error:?}"
            );
        }
    });
}
