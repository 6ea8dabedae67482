//! The ledger of requests that left for an order: real requests of a real driver, over TLS under an authority that its
//! grant names, still there after the daemon was killed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use archipel_client::Client;
use archipel_tests::built;
use archipel_tests::orders::{id, reaches};
use archipel_tests::replayed::Replayed;
use archipel_tests::site::{SITE_ID, Site};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::tls_front::{certificates, https, tls_file};

const TOKEN: &str = "gAAAAAB-recorded/token+with=signs";

/// A site whose one cloud is the recorded one, behind TLS.
fn site_over(cloud: &Replayed, origin: &str) -> Site {
    let mut site = Site::temporary().unwrap();
    site.drop_plugin("cloud-openstack", &built::plugin("cloud-openstack").unwrap()).unwrap();
    let secret = site.folder().join("token");
    std::fs::write(&secret, TOKEN).unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::copy(tls_file("ca.pem"), site.folder().join("cloud-ca.pem")).unwrap();
    let attributes = cloud.attributes().to_string().replace(&cloud.origin(), origin);
    let attributes: Value = serde_json::from_str(&attributes).unwrap();
    let rule = |path: &str| json!({"name": "local-token", "origin": origin, "methods": ["GET", "POST", "DELETE"], "path": path, "placement": "header:x-auth-token"});
    site.config["secrets"] = json!({"token": {"file": "token"}});
    site.config["cloud"] = json!([{
        "name": "openstack",
        "driver": "cloud-openstack",
        "mapper": "mapper-all-to-one",
        "mapper_config": {"default": {"account": "recorded", "secret": "token", "attributes": attributes}},
        "config": {"site": SITE_ID},
    }]);
    site.config["grants"]["mapper-all-to-one"] = json!({
        "pin": "capabilities",
        "secrets": [{"name": "token", "origin": origin, "methods": [], "path": "/", "placement": "header:x-auth-token"}],
    });
    site.config["grants"]["cloud-openstack"] = json!({
        "pin": "capabilities", "hosts": [origin], "private": true, "ca": "cloud-ca.pem", "storage": "4 MiB",
        "secrets": [rule("/compute/v2.1/*"), rule("/volume/v3/*"), rule("/network/v2.0/*"), rule("/image/v2/*")],
    });
    site
}

/// The ledger of an order, once something is in it.
async fn ledger(admin: &Client, order: &str) -> Vec<Value> {
    loop {
        let list = admin.get(&format!("/v1/orders/{order}/egress")).await.unwrap().success().unwrap();
        match list["items"].as_array() {
            Some(items) if !items.is_empty() => return items.clone(),
            _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_of_an_order_tells_who_was_asked_by_whom_and_outlives_the_daemon() {
    let exchanges = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/cloud-openstack/tests/exchanges");
    let cloud = Replayed::serve(&exchanges.join("life.json"), SITE_ID, TOKEN).unwrap();
    let (origin, _) = https(&cloud.origin(), None).await;
    let site = site_over(&cloud, &origin);
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let volume = json!({"name": "life-volume", "size_gib": 1});
    let volume = alice.post("/v1/volumes", &volume).await.unwrap().success().unwrap();
    reaches(&alice, id(&volume), "fulfilled").await.unwrap();
    assert_eq!(cloud.strange(), Vec::<String>::new());

    assert_eq!(alice.get(&format!("/v1/orders/{}/egress", id(&volume))).await.unwrap().status(), 403);
    let unknown = "/v1/orders/00000000-0000-7000-8000-000000000000/egress";
    assert_eq!(daemon.admin().get(unknown).await.unwrap().status(), 404);
    let entries = ledger(&daemon.admin(), id(&volume)).await;
    let plugin = daemon.admin().get("/v1/admin/plugins/cloud-openstack").await.unwrap().success().unwrap();
    let leaf = certificates(&tls_file("loopback.pem")).remove(0);
    for entry in &entries {
        assert_eq!(entry["origin"], origin);
        assert_eq!(entry["address"].as_str().unwrap(), origin.strip_prefix("https://").unwrap());
        assert_eq!(entry["certificate"], format!("sha256:{}", hex::encode(Sha256::digest(&leaf))));
        assert_eq!(
            (&entry["digest"], &entry["binding"]),
            (&plugin["digest"], &json!("cloud/openstack/cloud-openstack"))
        );
        assert!(
            entry["status"].as_u64().is_some_and(|status| status < 400) && entry["outcome"] == "complete",
            "{entry}"
        );
    }
    let created = entries.iter().find(|entry| entry["method"] == "POST").expect("the create");
    assert!(created["sent"].as_u64().unwrap() > 0 && created["received"].as_u64().unwrap() > 0, "{created}");
    let text = serde_json::to_string(&entries).unwrap();
    assert!(!text.contains(TOKEN) && !text.contains("/volume/v3"), "no path and no header: {text}");

    daemon.kill().unwrap();
    let daemon = site.start().await.unwrap();
    let after = ledger(&daemon.admin(), id(&volume)).await;
    assert!(entries.iter().all(|entry| after.contains(entry)), "{entries:#?}\n{after:#?}");
    let shown = site.archipel(&["order", "egress", id(&volume)]).unwrap().with_code(0);
    assert!(
        shown.out.contains(&origin) && shown.out.contains("cloud/openstack/cloud-openstack@sha256:"),
        "{shown:?}"
    );
    daemon.stop().await.unwrap();
    let checked = site.archipel(&["store", "check"]).unwrap().with_code(0);
    assert!(checked.out.starts_with("nothing is wrong: "), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_whose_certificate_is_of_another_authority_is_told_so_in_the_ledger() {
    let exchanges = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/cloud-openstack/tests/exchanges");
    let cloud = Replayed::serve(&exchanges.join("life.json"), SITE_ID, TOKEN).unwrap();
    let (origin, _) = https(&cloud.origin(), None).await;
    let mut site = site_over(&cloud, &origin);
    site.config["grants"]["cloud-openstack"].as_object_mut().unwrap().remove("ca");
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let volume = alice.post("/v1/volumes", &json!({"name": "life-volume", "size_gib": 1})).await.unwrap();
    let volume = volume.success().unwrap();
    let entries = ledger(&daemon.admin(), id(&volume)).await;
    assert!(entries[0]["outcome"].as_str().unwrap().contains("no TLS with"), "{entries:#?}");
    assert_eq!((&entries[0]["status"], &entries[0]["certificate"]), (&Value::Null, &Value::Null));
    daemon.stop().await.unwrap();
}
