//! The OpenStack driver, as the component that it is, in a whole site, over what a real OpenStack once answered.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use archipel_tests::built;
use archipel_tests::orders::{delete_all, reaches};
use archipel_tests::replayed::Replayed;
use archipel_tests::site::{SITE_ID, Site};
use serde_json::json;

/// What the account's secret holds; it must arrive in every request, put in by the host.
const TOKEN: &str = "gAAAAAB-recorded/token+with=signs";

#[tokio::test]
async fn the_driver_leads_orders_of_all_kinds_through_their_life_without_a_cloud() {
    let exchanges = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/cloud-openstack/tests/exchanges");
    let cloud = Replayed::serve(&exchanges.join("life.json"), SITE_ID, TOKEN).unwrap();
    let mut site = Site::temporary().unwrap();
    site.drop_plugin("cloud-openstack", &built::plugin("cloud-openstack").unwrap()).unwrap();
    let secret = site.folder().join("token");
    std::fs::write(&secret, TOKEN).unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    use_cloud(&mut site, &cloud);
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();

    // The orders that were recorded.
    let bulk = json!({"orders": [
        {"kind": "network", "name": "life-net", "cidr": "10.81.0.0/24", "gateway": "10.81.0.254"},
        {"kind": "volume", "name": "life-volume", "size_gib": 1},
        {"kind": "compute", "name": "life vm", "image": "@cirros", "vcpu": 1, "ram_mib": 600,
            "networks": [{"order": "$0"}], "security_groups": ["default"], "availability_zone": "nova",
            "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG recorded", "user_data": "#!/bin/sh\necho recorded\n"},
        {"kind": "attachment", "compute": "$2", "volume": "$1"},
    ]});
    let answer = alice.post("/v1/orders", &bulk).await.unwrap().success().unwrap();
    let mut states = Vec::new();
    for result in answer["results"].as_array().unwrap() {
        let order = reaches(&alice, result["order"]["id"].as_str().unwrap(), "fulfilled").await.unwrap();
        states.push(order["instance"]["cloud_state"].as_str().unwrap().to_owned());
    }
    assert_eq!(states, ["ACTIVE", "available", "ACTIVE", "in-use"]);
    assert_eq!(cloud.strange(), Vec::<String>::new());

    delete_all(&alice).await.unwrap();
    assert_eq!(cloud.strange(), Vec::<String>::new(), "nothing was asked but what was recorded");
    assert_eq!(cloud.undone(), Vec::<String>::new(), "everything that was made is gone");
    assert!(!daemon.log().contains(TOKEN));
}

fn use_cloud(site: &mut Site, cloud: &Replayed) {
    let origin = cloud.origin();
    let token = |methods: &[&str], path: &str| json!({"name": "local-token", "origin": origin, "methods": methods, "path": path, "placement": "header:x-auth-token"});
    let change = ["GET", "POST", "DELETE"];
    site.config["secrets"] = json!({"token": {"file": "token"}});
    site.config["cloud"] = json!([{
        "name": "openstack",
        "driver": "cloud-openstack",
        "mapper": "mapper-all-to-one",
        "mapper_config": {"default": {"account": "recorded", "secret": "token", "attributes": cloud.attributes()}},
        "config": {"site": SITE_ID},
    }]);
    site.config["grants"]["mapper-all-to-one"] = json!({
        "pin": "capabilities",
        "secrets": [{"name": "token", "origin": origin, "methods": [], "path": "/", "placement": "header:x-auth-token"}],
    });
    site.config["grants"]["cloud-openstack"] = json!({
        "pin": "capabilities",
        "hosts": [origin],
        "private": true,
        "storage": "4 MiB",
        "secrets": [
            token(&change, "/compute/v2.1/*"), token(&change, "/volume/v3/*"), token(&change, "/network/v2.0/*"),
            token(&["GET"], "/image/v2/*"),
        ],
    });
}
