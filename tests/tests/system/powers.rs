//! Power actions on a served site: the real daemon, the emulated cloud's component, REST and the command line.

use std::time::Duration;

use archipel_client::{Answer, Client};
use archipel_tests::cli;
use archipel_tests::orders::{create, id, reaches, show, small_compute};
use archipel_tests::site::Site;
use http::Method;
use serde_json::{Value, json};

const WAIT: &[(&str, &str)] = &[("prefer", "wait=30")];

async fn act(client: &Client, order: &Value, action: &str, headers: &[(&str, &str)]) -> Answer {
    let path = format!("/v1/computes/{}/actions/{action}", id(order));
    client.send(Method::POST, &path, headers, None).await.unwrap()
}

async fn machine(client: &Client, name: &str) -> Value {
    let order = create(client, "computes", &small_compute(name)).await.unwrap();
    reaches(client, id(&order), "fulfilled").await.unwrap()
}

/// A site whose cloud has this configuration.
fn site(cloud: Value) -> Site {
    let mut site = Site::temporary().unwrap();
    site.config["cloud"][0]["config"] = cloud;
    site
}

#[tokio::test]
async fn a_machine_is_led_through_every_state_and_what_rests_on_it_goes_along() {
    let site = site(json!({"latency_ms": 1, "boot_ms": 50, "delete_ms": 50, "power_ms": 200}));
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let cloud = alice.get("/v1/clouds/emulated").await.unwrap().success().unwrap();
    assert!(cloud["interfaces"].as_array().unwrap().contains(&json!("compute-power")), "{cloud}");
    assert_eq!(cloud["actions"], json!(["pause", "resume", "stop", "start", "reboot", "hibernate"]));

    let order = machine(&alice, "web").await;
    let asked = act(&alice, &order, "pause", &[]).await;
    assert_eq!((asked.status(), asked.json().unwrap()["state"].clone()), (202, json!("pausing")));
    reaches(&alice, id(&order), "paused").await.unwrap();
    for (action, state, status) in [
        ("resume", "fulfilled", "ready"),
        ("hibernate", "hibernated", "hibernated"),
        ("resume", "fulfilled", "ready"),
        ("reboot", "fulfilled", "ready"),
        ("stop", "stopped", "stopped"),
    ] {
        let answer = act(&alice, &order, action, WAIT).await;
        assert_eq!(answer.header("preference-applied"), Some("wait=30"));
        let now = answer.success().unwrap();
        assert_eq!((&now["state"], &now["instance"]["status"]), (&json!(state), &json!(status)), "{now}");
        assert_eq!((&now["power"], &now["fault"]), (&Value::Null, &Value::Null), "{now}");
        assert_eq!(now["instance"]["addresses"], order["instance"]["addresses"]);
    }
    // A volume is attached to a machine that is stopped, and the machine starts with it.
    let disk = create(&alice, "volumes", &json!({"size_gib": 1})).await.unwrap();
    let ask = json!({"compute": id(&order), "volume": id(&disk)});
    let joined = create(&alice, "attachments", &ask).await.unwrap();
    reaches(&alice, id(&joined), "fulfilled").await.unwrap();
    let started = act(&alice, &order, "start", WAIT).await.success().unwrap();
    assert_eq!(started["state"], "fulfilled");

    let path = format!("/v1/orders/{}/events", id(&order));
    let events = alice.get(&path).await.unwrap().success().unwrap();
    let states: Vec<String> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| {
            event["type"]
                .as_str()?
                .strip_prefix("org.archipel.order.")?
                .strip_suffix(".v1")
                .map(str::to_owned)
        })
        .filter(|word| word != "updated")
        .collect();
    let told = ["open", "selected", "spawning", "fulfilled", "pausing", "paused", "resuming", "fulfilled"];
    assert_eq!(states[..8], told);
    let told = [
        "hibernating",
        "hibernated",
        "resuming",
        "fulfilled",
        "stopping",
        "stopped",
        "resuming",
        "fulfilled",
    ];
    assert_eq!(states[8..], told);
    alice.delete(&format!("/v1/orders/{}?cascade=true", id(&order))).await.unwrap().success().unwrap();
    reaches(&alice, id(&order), "closed").await.unwrap();
}

#[tokio::test]
async fn refusals_are_409_422_404_or_a_fault_of_the_order() {
    let site = site(json!({"latency_ms": 1, "boot_ms": 50, "power_ms": 50, "faults": [
        {"operation": "stop", "mode": "conflict", "names": ["locked"], "message": "the machine is locked"},
        {"operation": "pause", "mode": "answer-lost", "first": 1},
        {"operation": "hibernate", "mode": "transient", "first": 2},
    ]}));
    let daemon = site.start().await.unwrap();
    let (alice, bob) = (daemon.login("alice").await.unwrap(), daemon.login("bob").await.unwrap());
    let order = machine(&alice, "locked").await;
    let refused = act(&alice, &order, "start", &[]).await;
    assert_eq!(refused.status(), 409);
    let problem = refused.json().unwrap();
    assert_eq!((&problem["reason"], &problem["allowed_in"]), (&json!("wrong-state"), &json!(["stopped"])));
    assert_eq!(act(&bob, &order, "stop", &[]).await.status(), 404);
    assert_eq!(act(&alice, &order, "explode", &[]).await.status(), 404);

    let back = act(&alice, &order, "stop", WAIT).await.success().unwrap();
    assert_eq!(
        (&back["state"], &back["fault"]["message"]),
        (&json!("fulfilled"), &json!("the machine is locked"))
    );
    let paused = act(&alice, &order, "pause", WAIT).await.success().unwrap();
    assert_eq!(
        (&paused["state"], &paused["fault"]),
        (&json!("paused"), &Value::Null),
        "looked up, not refused"
    );
    act(&alice, &order, "resume", WAIT).await.success().unwrap();
    let saved = act(&alice, &order, "hibernate", WAIT).await.success().unwrap();
    assert_eq!((&saved["state"], &saved["unreachable"]), (&json!("hibernated"), &Value::Null), "tried again");
    // Whoever rests on it waits until it is awake.
    let disk = create(&alice, "volumes", &json!({"size_gib": 1})).await.unwrap();
    let ask = json!({"compute": id(&order), "volume": id(&disk)});
    let joined = create(&alice, "attachments", &ask).await.unwrap();
    reaches(&alice, id(&joined), "waiting").await.unwrap();
    act(&alice, &order, "resume", WAIT).await.success().unwrap();
    reaches(&alice, id(&joined), "fulfilled").await.unwrap();
}

#[tokio::test]
async fn a_daemon_that_is_killed_before_or_after_the_cloud_hears_of_it_ends_what_was_asked() {
    for point in ["before-power-action", "after-power-action"] {
        let site = site(json!({"latency_ms": 1, "boot_ms": 50, "power_ms": 300}));
        let armed = format!("{point}:1");
        let mut daemon =
            site.start_with(&["--fail-points"], &[("ARCHIPEL_FAIL_POINT", &armed)]).await.unwrap();
        let alice = daemon.login("alice").await.unwrap();
        let order = machine(&alice, "web").await;
        let asked = act(&alice, &order, "stop", &[]).await;
        assert_eq!(asked.status(), 202, "answered when it is durable");
        daemon.ended(Duration::from_secs(60)).await.unwrap();
        drop(daemon);
        let daemon = site.start().await.unwrap();
        let alice = daemon.login("alice").await.unwrap();
        let stopped = reaches(&alice, id(&order), "stopped").await.unwrap();
        assert_eq!(
            (&stopped["fault"], &stopped["instance"]["status"]),
            (&Value::Null, &json!("stopped")),
            "{point}"
        );
        assert_eq!(stopped["instance"]["id"], order["instance"]["id"]);
    }
}

#[tokio::test]
async fn the_command_line_acts_waits_and_says_no_where_it_came_to_nothing() {
    let site = site(json!({"latency_ms": 1, "boot_ms": 50, "power_ms": 100, "faults": [
        {"operation": "reboot", "mode": "unsupported", "message": "this hypervisor cannot"},
    ]}));
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let order = machine(&alice, "web").await;
    let token = daemon.token("alice", site.password("alice")).await.unwrap();
    let url = daemon.url().to_owned();
    let archipel = async |arguments: &[&str]| {
        let mut command = cli::program().unwrap();
        command.env("ARCHIPEL_URL", &url).env("ARCHIPEL_TOKEN", &token).args(arguments);
        tokio::task::spawn_blocking(move || cli::run(&mut command)).await.unwrap().unwrap()
    };
    let asked = archipel(&["order", "stop", id(&order)]).await.with_code(0);
    assert!(asked.out.contains("is asked to stop; it is stopping"), "{asked:?}");
    reaches(&alice, id(&order), "stopped").await.unwrap();
    let started = archipel(&["order", "start", id(&order), "--wait", "--output", "json"]).await.with_code(0);
    assert_eq!(started.json_lines().last().unwrap()["state"], "fulfilled");
    let refused = archipel(&["order", "reboot", id(&order), "--wait"]).await.with_code(1);
    assert!(refused.out.contains("this hypervisor cannot"), "{refused:?}");
    let wrong = archipel(&["order", "resume", id(&order)]).await.with_code(1);
    assert!(wrong.err.contains("resume is for orders that are paused or hibernated"), "{wrong:?}");
    assert_eq!(show(&alice, id(&order)).await.unwrap()["state"], "fulfilled");
}
