//! What was used, as rows, as CSV and as usage records.

use serde_json::{Value, json};

use crate::site::TestSite;

fn rows(reply: &Value) -> &Vec<Value> {
    reply["items"].as_array().unwrap()
}

#[tokio::test]
async fn everybody_sees_his_own_usage_and_administrators_all() {
    let site = TestSite::start().await;
    let (alice, bob, carol, admin) = (
        site.token("alice").await,
        site.token("bob").await,
        site.token("carol").await,
        site.token("admin").await,
    );
    site.compute(&alice).await;
    site.volume(&bob).await;
    let own = loop {
        let own = site.get("/v1/usage", &alice).await.ok(200).json;
        if rows(&own).iter().any(|row| row["instance_s"] != 0) {
            break own;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((&own["by"], &own["next"]), (&json!(["cloud", "kind", "class"]), &Value::Null));
    let [row] = rows(&own).as_slice() else { panic!("{own}") };
    assert_eq!(
        (&row["cloud"], &row["kind"], &row["class"]),
        (&json!("one"), &json!("compute"), &json!("running"))
    );
    let seconds = row["instance_s"].as_u64().unwrap();
    assert!((1..30).contains(&seconds), "{row}");
    assert!(row["vcpu_s"].as_u64().unwrap() >= 2 * seconds, "two of them were granted: {row}");
    assert!(row.get("user").is_none(), "{row}");
    assert_eq!(rows(&site.get("/v1/usage", &carol).await.ok(200).json).len(), 1, "her group's");
    assert_eq!(rows(&site.get("/v1/usage?group=none", &carol).await.ok(200).json).len(), 0);
    assert_eq!(rows(&site.get("/v1/usage", &admin).await.ok(200).json).len(), 0, "his own");
    site.get("/v1/admin/usage", &alice).await.ok(403).problem();
    let all = site.get("/v1/admin/usage?by=user,requesting_site,site,group", &admin).await.ok(200).json;
    let of = |subject: &str| {
        let found = rows(&all).iter().find(|row| row["user"]["subject"] == subject);
        found.unwrap_or_else(|| panic!("{all}")).clone()
    };
    assert_eq!((&of("alice")["group"], &of("bob")["group"]), (&json!("research"), &Value::Null));
    assert_eq!(of("bob")["requesting_site"], "site-a.example.org");
    assert_eq!(of("bob")["site"], "site-a.example.org");
    assert_eq!(rows(&site.get("/v1/admin/usage?kind=volume", &admin).await.ok(200).json).len(), 1);
    assert_eq!(rows(&site.get("/v1/admin/usage?cloud=two", &admin).await.ok(200).json).len(), 0);
    let before = site.get("/v1/admin/usage?to=2001-01-01T00:00:00Z", &admin).await.ok(200).json;
    assert_eq!(rows(&before).len(), 0);
    let later = site.get("/v1/admin/usage?from=2100-01-01T00:00:00Z", &admin).await.ok(200).json;
    assert_eq!(rows(&later).len(), 0, "what is to come is not used yet");
    for wrong in ["by=weather", "format=xls", "from=x", "by=order&cursor=abc"] {
        let reply = site.get(&format!("/v1/usage?{wrong}"), &alice).await.ok(400);
        assert!(["bad-query", "bad-cursor"].contains(&reply.problem()), "{wrong}");
    }
    for contradiction in ["by=order,user", "cursor=abc", "format=ur&by=user"] {
        let reply = site.get(&format!("/v1/usage?{contradiction}"), &alice).await.ok(422);
        assert_eq!(reply.problem(), "invalid", "{contradiction}");
    }
    let exchanged = "/v1/usage?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z";
    assert_eq!(site.get(exchanged, &alice).await.ok(422).problem(), "invalid");
}

#[tokio::test]
async fn orders_come_in_pages_and_keep_their_usage_when_they_are_gone() {
    let site = TestSite::start().await;
    let (alice, admin) = (site.token("alice").await, site.token("admin").await);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(site.volume(&alice).await.id());
    }
    let path = format!("/v1/volumes/{}", ids[0]);
    site.ask("DELETE", &path, &alice, &[], None).await.ok(202);
    for (base, token) in [("/v1/usage", &alice), ("/v1/admin/usage", &admin)] {
        let mut path = format!("{base}?by=order&limit=2");
        let mut seen = Vec::new();
        loop {
            let reply = site.get(&path, token).await.ok(200);
            seen.extend(rows(&reply.json).iter().map(|row| row["order"].as_str().unwrap().to_owned()));
            let Some(next) = reply.json["next"].as_str() else { break };
            assert!(reply.header("link").contains(next));
            path = format!("{base}?by=order&limit=2&cursor={next}");
        }
        assert_eq!(seen, ids, "{base}");
    }
    let first = &site.get("/v1/usage?by=order&limit=1", &alice).await.ok(200).json["items"][0];
    assert!(first["ended_at"].is_string() && first["started_at"].is_string(), "{first}");
}

#[tokio::test]
async fn the_same_comes_as_csv_and_as_usage_records() {
    let site = TestSite::start().await;
    let (alice, admin) = (site.token("alice").await, site.token("admin").await);
    let id = site.compute(&alice).await.id();
    for (path, accept) in [("/v1/admin/usage?format=csv", "*/*"), ("/v1/admin/usage", "text/csv")] {
        let csv = site.ask("GET", path, &admin, &[("accept", accept)], None).await.ok(200);
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8; header=present");
        assert_eq!(csv.header("vary"), "authorization, accept");
        let lines: Vec<&str> = csv.text.split("\r\n").collect();
        assert_eq!(
            lines[0],
            "from,to,issuer,subject,group,cloud,class,instance_s,vcpu_s,ram_mib_s,disk_gib_s"
        );
        assert!(lines[1].contains(",urn:test,alice,research,one,running,"), "{}", csv.text);
        assert_eq!((lines.len(), lines[2]), (3, ""));
    }
    for (path, accept) in [("/v1/usage?format=ur", "*/*"), ("/v1/usage", "application/xml")] {
        let records = site.ask("GET", path, &alice, &[("accept", accept)], None).await.ok(200);
        assert_eq!(records.header("content-type"), "application/xml");
        assert!(records.text.starts_with("<?xml"), "{}", records.text);
        assert!(records.text.contains(&format!("archipel:site-a.example.org:{id}</urf:GlobalJobId>")));
        assert!(records.text.contains("<urf:Processors urf:description=\"vcpu\">2</urf:Processors>"));
        assert_eq!(records.text.matches("<urf:JobUsageRecord>").count(), 1);
    }
}
