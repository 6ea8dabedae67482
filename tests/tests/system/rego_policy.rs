//! The example with an interpreter in it: policies in Rego, from a granted folder, prepared once and asked in every call.

use archipel_client::Client;
use archipel_tests::orders::{create, id, reaches};
use archipel_tests::site::Site;
use archipel_tests::{built, cli};
use serde_json::{Value, json};

const PLUGIN: &str = "rego-policy";

fn example() -> std::path::PathBuf {
    let here = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    here.parent().unwrap().join("examples").join(PLUGIN)
}

fn compute(name: &str, image: &str, vcpu: u32) -> Value {
    json!({"name": name, "image": image, "vcpu": vcpu, "ram_mib": 256})
}

/// The reason of a refusal.
async fn refusal(user: &Client, wanted: &Value) -> String {
    let answer = user.post("/v1/computes", wanted).await.unwrap();
    assert_eq!(answer.status(), 403, "{:?}", answer.json());
    answer.json().unwrap()["detail"].as_str().unwrap().to_owned()
}

#[test]
fn the_rego_example_keeps_the_contract() {
    let plugin = built::apart(PLUGIN).unwrap();
    let case = example().join("case.json");
    let arguments = ["plugin", "test", plugin.to_str().unwrap(), "--case", case.to_str().unwrap()];
    cli::archipel(&arguments).unwrap().with_code(0);
}

#[tokio::test]
async fn a_policy_in_rego_decides_from_its_snapshot_and_is_read_again_at_a_reload() {
    let mut site = Site::temporary().unwrap();
    let policies = site.folder().join("policies");
    archipel_tests::site::copy_folder(&example().join("policies"), &policies).unwrap();
    site.drop_plugin(PLUGIN, &std::fs::read(built::apart(PLUGIN).unwrap()).unwrap()).unwrap();
    site.config["authorization"] = json!([{"plugin": PLUGIN}]);
    site.config["grants"][PLUGIN] = json!({"folders": ["policies"]});
    let daemon = site.start().await.unwrap();
    let status = daemon.plugin_state(PLUGIN, "live", None).await.unwrap();
    assert!(status["start"].as_str().unwrap().contains("from a snapshot"), "{status}");

    let (alice, bob) = (daemon.login("alice").await.unwrap(), daemon.login("bob").await.unwrap());
    let order = create(&alice, "computes", &compute("web", "@cirros", 1)).await.unwrap();
    reaches(&alice, id(&order), "fulfilled").await.unwrap();
    assert_eq!(
        refusal(&alice, &compute("web", "@windows", 1)).await,
        "image \"@windows\" is not offered here; take one of @cirros, @debian*"
    );
    let mut project = compute("web", "@cirros", 1);
    project["labels"] = json!({"project": "Lattice!"});
    assert_eq!(
        refusal(&alice, &project).await,
        "\"Lattice!\" is no name of a project: a letter, then letters, digits and dashes"
    );
    assert_eq!(
        refusal(&alice, &compute("web", "@cirros", 8)).await,
        "group physics holds 1 of 8 virtual CPUs; delete a compute first"
    );
    assert_eq!(bob.get(&format!("/v1/computes/{}", id(&order))).await.unwrap().status(), 404);

    let data = std::fs::read_to_string(policies.join("data.json")).unwrap();
    std::fs::write(policies.join("data.json"), data.replace("\"@cirros\"", "\"@windows\"")).unwrap();
    let reload = async || {
        daemon.admin().post("/v1/admin/plugins/actions/reload", &json!({})).await.unwrap().success().unwrap();
    };
    reload().await;
    let order = create(&alice, "computes", &compute("web", "@windows", 1)).await;
    assert!(order.is_ok(), "the new data counts: {order:?}");

    std::fs::write(policies.join("site.rego"), "package {").unwrap();
    reload().await;
    let status = daemon.plugin_state(PLUGIN, "live", None).await.unwrap();
    let error = status["last_error"].as_str().unwrap();
    assert!(error.starts_with("the files of its granted folders cannot be used"), "{error}");
    assert_eq!(
        alice
            .get(&format!("/v1/computes/{}", order.unwrap()["id"].as_str().unwrap()))
            .await
            .unwrap()
            .status(),
        200
    );
}
