//! What was used and who did what, of a daemon that is killed again and again, and as people ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use archipel_client::Client;
use archipel_model::Timestamp;
use archipel_store::engine::{Commit, Range};
use archipel_store::{Engine as _, SledEngine, SledOptions};
use archipel_tests::orders::{create, delete, id, reaches, small_compute};
use archipel_tests::site::{ISSUER, Site};
use serde_json::{Value, json};

fn ms(text: &Value) -> i64 {
    Timestamp::parse(text.as_str().unwrap()).unwrap().as_millis()
}

/// All pages of a list.
async fn pages(client: &Client, path: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}{cursor}")).await.unwrap().success().unwrap();
        all.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Creates and deletes until the daemon goes away; says what was acknowledged.
async fn work(client: Client, number: usize) -> (Vec<String>, Vec<String>) {
    let (mut created, mut deleted) = (Vec::new(), Vec::new());
    for round in 0.. {
        let Ok(order) = create(&client, "computes", &small_compute(&format!("c{number}-{round}"))).await
        else {
            break;
        };
        created.push(id(&order).to_owned());
        if round % 2 == 0 {
            let Ok(ready) = reaches(&client, id(&order), "fulfilled").await else { break };
            match delete(&client, id(&ready)).await {
                Ok(answer) if answer.status() == 202 => deleted.push(id(&order).to_owned()),
                _ => break,
            }
        }
    }
    (created, deleted)
}

/// The instants between which an order was metered, by its events.
async fn metered(admin: &Client, order: &str) -> Option<(i64, Option<i64>)> {
    let events = pages(admin, &format!("/v1/orders/{order}/events?limit=1000")).await;
    let at = |state: &str| {
        let kind = format!("org.archipel.order.{state}.v1");
        events.iter().find(|event| event["type"] == kind).map(|event| ms(&event["time"]))
    };
    Some((at("fulfilled")?, at("closing")))
}

/// What somebody does with the entries of the audit.
type Tampering<'a> = dyn Fn(&[(Vec<u8>, bytes::Bytes)], &mut Commit) + 'a;

#[tokio::test(flavor = "multi_thread")]
async fn usage_and_audit_are_exact_after_kills_at_any_moment() {
    let site = Site::temporary().unwrap();
    let (mut created, mut deleted): (BTreeSet<String>, BTreeSet<String>) = Default::default();
    for life in 1..=5 {
        let daemon = site.start().await.unwrap();
        let mut tasks = Vec::new();
        for number in 0..6 {
            let client = daemon.login(["alice", "bob"][number % 2]).await.unwrap();
            tasks.push(tokio::spawn(work(client.with_timeout(Duration::from_secs(5)), number)));
        }
        let admin = daemon.admin();
        // Until enough happened; then in the middle of it.
        let deletions = "/v1/admin/audit?limit=1000&operation=delete-order";
        while pages(&admin, deletions).await.len() < 4 * life {
            tokio::task::yield_now().await;
        }
        daemon.kill().unwrap();
        for task in tasks {
            let (made, gone) = task.await.unwrap();
            created.extend(made);
            deleted.extend(gone);
        }
    }
    let daemon = site.start().await.unwrap();
    let admin = daemon.admin();
    for order in &deleted {
        reaches(&admin, order, "closed").await.unwrap();
    }

    // Whatever was acknowledged is in the audit, and the chain is whole.
    let found = admin.get("/v1/admin/audit/verification").await.unwrap().success().unwrap();
    assert_eq!((&found["ok"], &found["next"]), (&json!(true), &Value::Null), "{found}");
    let records = pages(&admin, "/v1/admin/audit?limit=1000").await;
    let recorded = |operation: &str| -> BTreeMap<&str, usize> {
        let of = records
            .iter()
            .filter(|record| record["operation"] == operation && record["outcome"] == "allowed");
        let mut counts = BTreeMap::new();
        for record in of {
            *counts.entry(record["order"].as_str().unwrap()).or_default() += 1;
        }
        counts
    };
    let (made, gone) = (recorded("create-compute"), recorded("delete-order"));
    assert!(created.len() > 20 && !deleted.is_empty(), "{} {}", created.len(), deleted.len());
    for order in &created {
        assert_eq!(made.get(order.as_str()), Some(&1), "{order}: accepted and recorded are one commit");
    }
    for order in &deleted {
        assert!(gone.contains_key(order.as_str()), "{order}");
    }
    let orders = pages(&admin, "/v1/orders?limit=1000&state=closed,closing,fulfilled,open,selected,spawning,waiting,failed-on-request,failed-after-request").await;
    let known: BTreeSet<&str> = orders.iter().map(id).collect();
    assert_eq!(made.keys().copied().collect::<BTreeSet<_>>(), known, "no record without its order");

    // Each order was metered from its event `fulfilled` to its event `closing`.
    let to = orders.iter().map(|order| ms(&order["updated_at"])).max().unwrap() + 5;
    let path = format!("/v1/admin/usage?limit=1000&to={}", Timestamp::from_millis(to));
    let rows = pages(&admin, &format!("{path}&by=order")).await;
    let used: BTreeMap<&str, u64> = rows
        .iter()
        .filter(|row| row["class"] == "running")
        .map(|row| (row["order"].as_str().unwrap(), row["instance_s"].as_u64().unwrap()))
        .collect();
    let mut sum = 0;
    for order in &known {
        let expected = metered(&admin, order).await;
        assert_eq!(expected.is_some(), used.contains_key(order), "{order}");
        let Some((from, until)) = expected else { continue };
        let seconds = (until.unwrap_or(to).min(to) - from).max(0) as u64 / 1000;
        assert!(used[order].abs_diff(seconds) <= 1, "{order}: {} and {seconds}", used[order]);
        sum += used[order];
    }
    let whole = admin.get(&format!("{path}&by=class")).await.unwrap().success().unwrap();
    let running = whole["items"].as_array().unwrap().iter().find(|row| row["class"] == "running").unwrap();
    let whole = running["instance_s"].as_u64().unwrap();
    // Each order is rounded down by itself.
    assert!(whole >= sum && whole <= sum + used.len() as u64, "{whole} and {sum} of {}", used.len());
    assert!(daemon.stop().await.unwrap().success());
    let checked = site.archipel(&["store", "check"]).unwrap().with_code(0);
    assert!(checked.out.starts_with("nothing is wrong: "), "{checked:?}");
    site.archipel(&["audit", "verify", "--offline"]).unwrap().with_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_says_who_had_an_address_also_when_the_order_is_gone() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let network = json!({"cidr": "10.20.0.0/29", "name": "lab"});
    let network = create(&alice, "networks", &network).await.unwrap();
    reaches(&alice, id(&network), "fulfilled").await.unwrap();
    let mut machine = small_compute("web");
    machine["networks"] = json!([{"order": id(&network)}]);
    let machine = create(&alice, "computes", &machine).await.unwrap();
    let ready = reaches(&alice, id(&machine), "fulfilled").await.unwrap();
    let address = ready["instance"]["addresses"][0].as_str().unwrap().to_owned();
    let at = ready["updated_at"].as_str().unwrap().to_owned();
    delete(&alice, id(&machine)).await.unwrap();
    reaches(&alice, id(&machine), "closed").await.unwrap();
    daemon.kill().unwrap();
    let daemon = site.start().await.unwrap();
    let ask = |at: &str| site.archipel(&["audit", "address", &address, "--at", at]).unwrap();
    let told = ask(&at).with_code(0);
    for wanted in [id(&machine), "alice", ISSUER, "site-a.example.org", "physics", "emulated@"] {
        assert!(told.out.contains(wanted), "{wanted}: {told:?}");
    }
    assert!(ask("2001-01-01T00:00:00Z").with_code(1).out.contains("no order had"), "before");
    let now = site.archipel(&["audit", "address", &address, "--output", "json"]).unwrap().with_code(1);
    assert_eq!(now.json()["items"], json!([]), "it is given back");
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_asked_for_verified_and_shows_what_was_done_to_it() {
    let mut site = Site::temporary().unwrap();
    let roles = &mut site.config["authorization"][0]["config"];
    roles["roles"]["auditor"] = json!({"allow": [
        {"operations": ["login"]},
        {"operations": ["read", "list"], "kinds": ["audit"], "reach": "any"},
    ]});
    roles["default_role"] = Value::Null;
    let member = |subjects: Value| json!({"role": "member", "issuer": ISSUER, "subjects": subjects});
    roles["assignments"] = json!([
        {"role": "operator", "issuer": ISSUER, "subjects": ["admin"]},
        {"role": "auditor", "issuer": ISSUER, "subjects": ["bob"]},
        member(json!(["alice"])),
    ]);
    roles.as_object_mut().unwrap().remove("default_role");
    let daemon = site.start().await.unwrap();
    let (alice, bob) = (daemon.login("alice").await.unwrap(), daemon.login("bob").await.unwrap());
    let order = create(&alice, "volumes", &json!({"size_gib": 1})).await.unwrap();
    reaches(&alice, id(&order), "fulfilled").await.unwrap();
    alice.get("/v1/admin/plugins").await.unwrap();
    daemon.anonymous().with_token("guessed").get("/v1/me").await.unwrap();

    // The auditor reads the audit, and nothing else.
    assert_eq!(bob.get("/v1/admin/audit").await.unwrap().status(), 200);
    for path in ["/v1/admin/plugins", "/v1/admin/usage", "/v1/clouds"] {
        assert_eq!(bob.get(path).await.unwrap().status(), 403, "{path}");
    }
    assert_eq!(bob.post("/v1/volumes", &json!({"size_gib": 1})).await.unwrap().status(), 403);
    assert_eq!(alice.get("/v1/admin/audit").await.unwrap().status(), 403);

    let created = ["audit", "query", "--order", id(&order), "--output", "json"];
    let created = site.archipel(&created).unwrap().with_code(0).json();
    let record = &created["items"][0];
    assert_eq!((&record["operation"], &record["outcome"]), (&json!("create-volume"), &json!("allowed")));
    assert_eq!((&record["who"]["subject"], &record["address"]), (&json!("alice"), &json!("127.0.0.1")));
    let plugin = daemon.admin().get("/v1/admin/plugins/authz-roles").await.unwrap().success().unwrap();
    assert_eq!(record["decided_by"][0]["plugin"], "authz-roles");
    assert_eq!(record["decided_by"][0]["digest"], plugin["digest"], "the component that is listed");
    let denied = site.archipel(&["audit", "query", "--outcome", "denied"]).unwrap().with_code(0);
    for wanted in ["list-plugins", "get-me", "create-volume", "authz-roles@"] {
        assert!(denied.out.contains(wanted), "{wanted}: {denied:?}");
    }
    let head = site.archipel(&["audit", "head"]).unwrap().with_code(0).out.trim().to_owned();
    let whole = site.archipel(&["audit", "verify", "--head", &head]).unwrap().with_code(0);
    assert!(whole.out.contains("follow one another") && whole.out.contains("is in the chain"), "{whole:?}");
    let held = site.archipel(&["audit", "verify", "--offline"]).unwrap().with_code(2);
    assert!(held.err.contains("held by process"), "{held:?}");
    assert!(daemon.stop().await.unwrap().success());

    let offline = |arguments: &[&str]| {
        let all = [&["audit", "verify", "--offline"], arguments].concat();
        site.archipel(&all).unwrap()
    };
    offline(&["--head", &head]).with_code(0);
    let folder = site.data_dir().join("store");
    let tamper = async |change: &Tampering<'_>| {
        let engine = SledEngine::open_existing(&folder, SledOptions::default()).unwrap();
        let entries = engine.range(&Range::prefix(b"ad/", 10_000)).await.unwrap();
        let mut commit = Commit::new();
        change(&entries, &mut commit);
        engine.commit(commit).await.unwrap();
        engine.close().await;
        entries
    };
    // Somebody makes alice's order bob's.
    let entries = tamper(&|entries, commit| {
        let (key, entry) = entries
            .iter()
            .find(|(_, entry)| String::from_utf8_lossy(entry).contains("create-volume"))
            .unwrap();
        let text = String::from_utf8_lossy(&entry[32..]).replace("alice", "bob");
        commit.put(key.clone(), [&entry[..32], text.as_bytes()].concat());
    })
    .await;
    let broken = offline(&[]).with_code(1);
    assert!(broken.out.contains("BROKEN at record") && broken.out.contains("was changed"), "{broken:?}");
    let checked = site.archipel(&["store", "check"]).unwrap().with_code(1);
    assert!(checked.out.contains("audit"), "{checked:?}");
    // The newest records are taken away, and the note of the newest put back, as somebody does who knows how it works.
    tamper(&|_, commit| {
        for (key, entry) in &entries {
            commit.put(key.clone(), entry.clone());
        }
    })
    .await;
    offline(&[]).with_code(0);
    tamper(&|entries, commit| {
        let noted: u64 = head.split_once(':').unwrap().0.parse().unwrap();
        let kept = entries.iter().position(|(key, _)| key.ends_with(&noted.to_be_bytes())).unwrap();
        let (before, first) = (&entries[kept - 1], &entries[kept]);
        let sequence = &before.0[before.0.len() - 8..];
        // An entry holds the hash of the one before it.
        let forged = [sequence, &first.1[..32], &(kept as u64).to_be_bytes()].concat();
        commit.put(b"ac/head".to_vec(), forged);
        for (key, _) in &entries[kept..] {
            commit.delete(key.clone());
        }
    })
    .await;
    offline(&[]).with_code(0);
    let missing = offline(&["--head", &head]).with_code(1);
    assert!(missing.out.contains("NOT in the chain"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_a_table_a_file_for_sheets_and_records_for_accounting() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    for name in ["a", "b"] {
        let order = create(&alice, "computes", &small_compute(name)).await.unwrap();
        reaches(&alice, id(&order), "fulfilled").await.unwrap();
    }
    let table = site.archipel(&["usage", "--by", "user,class"]).unwrap().with_code(0);
    assert!(
        table.out.starts_with("USER   CLASS    INSTANCE S") && table.out.contains("running"),
        "{table:?}"
    );
    let csv = site.archipel(&["usage", "--by", "order", "--format", "csv"]).unwrap().with_code(0);
    assert_eq!(csv.out.lines().count(), 3, "{csv:?}");
    let records = site.archipel(&["usage", "--format", "ur"]).unwrap().with_code(0);
    assert_eq!(records.out.matches("<urf:JobUsageRecord>").count(), 2, "{records:?}");
    assert!(records.out.trim_end().ends_with("</urf:UsageRecords>"));
    let json = site.archipel(&["usage", "--by", "order", "--output", "json"]).unwrap().with_code(0).json();
    assert_eq!(json["items"].as_array().unwrap().len(), 2);
    let wrong = site.archipel(&["usage", "--from", "yesterday"]).unwrap().with_code(1);
    assert!(wrong.err.contains("write a time"), "{wrong:?}");
}
