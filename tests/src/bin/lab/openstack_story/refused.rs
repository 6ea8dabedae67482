//! What is refused, by whom, and in whose words.

use anyhow::{Context, Result, bail, ensure};
use archipel_client::Client;
use archipel_tests::openstack::site::CLOUD;
use archipel_tests::orders::{self, small_compute};
use http::Method;
use serde_json::{Value, json};

use super::arrive::People;
use super::{Story, heading, line, text};

pub(super) async fn walk(story: &Story, people: &People, of_alice: &Value) -> Result<()> {
    heading("what is refused, and by whom");
    others_do_not_see_it(people, of_alice).await?;
    by_the_policy(people).await?;
    by_the_mapper(people).await?;
    by_the_clouds_quota(&people.carol).await?;
    by_keystone(story, &people.dave).await
}

async fn others_do_not_see_it(people: &People, of_alice: &Value) -> Result<()> {
    let id = orders::id(of_alice);
    for (method, path) in [
        (Method::GET, format!("/v1/computes/{id}")),
        (Method::DELETE, format!("/v1/orders/{id}")),
        (Method::GET, format!("/v1/orders/{id}/events")),
    ] {
        let answer = people.bob.send(method.clone(), &path, &[], None).await?;
        ensure!(answer.status() == 404, "{method} {path} of another is {}", answer.status());
    }
    ensure!(orders::all(&people.bob, "").await?.is_empty(), "bob has ordered nothing");
    line("alice's order is 404 to bob");
    Ok(())
}

async fn by_the_policy(people: &People) -> Result<()> {
    let answer = people.dave.post("/v1/computes", &small_compute("never")).await?;
    let problem = answer.json()?;
    ensure!(answer.status() == 403, "dave may only look: {problem}");
    let reason = text(&problem, "detail");
    ensure!(reason.contains("needs role member or operator"), "not the policy's reason: {problem}");
    line(&format!("403 by the policy: {reason}"));
    let answer = people.alice.get("/v1/admin/plugins").await?;
    ensure!(answer.status() == 403, "administration is not hers: {}", answer.status());
    Ok(())
}

async fn by_the_mapper(people: &People) -> Result<()> {
    let answer = people.erin.get(&format!("/v1/clouds/{CLOUD}/quota")).await?;
    let problem = answer.json()?;
    ensure!(answer.status() == 403, "erin has no account: {problem}");
    let reason = text(&problem, "detail");
    ensure!(reason.contains("none of your groups has an account"), "not the mapper's reason: {problem}");
    line(&format!("403 by the mapper: {reason}"));
    Ok(())
}

/// An order is accepted before the cloud is asked, so the cloud's refusal is the order's fault, with the status that
/// it would have had.
async fn by_the_clouds_quota(carol: &Client) -> Result<()> {
    for (kind, body, words) in [
        (
            "computes",
            small_compute("c"),
            "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances",
        ),
        ("volumes", json!({"size_gib": 1}), "Maximum number of volumes allowed (1) exceeded"),
    ] {
        let first = orders::create(carol, kind, &body).await?;
        orders::reaches(carol, orders::id(&first), "fulfilled").await?;
        let second = orders::create(carol, kind, &body).await?;
        let second = settled(carol, &second).await?;
        ensure!(second["state"] == "failed-on-request", "more than the quota: {second}");
        let fault = &second["fault"];
        ensure!(fault["kind"] == "quota-exceeded" && fault["status"] == 409, "not a quota's fault: {second}");
        ensure!(text(fault, "message").contains(words), "not the cloud's words: {second}");
        line(&format!("409 by the cloud: {}", text(fault, "message")));
    }
    Ok(())
}

async fn settled(client: &Client, order: &Value) -> Result<Value> {
    orders::follow(client, orders::id(order), |order| {
        let state = text(order, "state");
        state == "fulfilled" || state.starts_with("failed")
    })
    .await
}

/// Keystone's administrator locks a user out; the site hears of it within the seconds for which it may trust an answer.
async fn by_keystone(story: &Story, dave: &Client) -> Result<()> {
    let admin = archipel_tests::openstack::cloud::Cloud::as_admin(&story.peer).await?;
    let path = format!("/v3/users/{}", story.peer.user("dave").id());
    dave.get("/v1/me").await?.success().context("dave's session")?;
    let lock = |enabled: bool| json!({"user": {"enabled": enabled}});
    admin.ask(Method::PATCH, "identity", &path, Some(&lock(false))).await?.success()?;
    let began = std::time::Instant::now();
    loop {
        let answer = dave.get("/v1/me").await?;
        match answer.status() {
            200 if began.elapsed().as_secs() < 15 => {
                tokio::time::sleep(std::time::Duration::from_millis(250)).await
            }
            401 => break,
            status => bail!("a user that Keystone locked out gets {status} after {:?}", began.elapsed()),
        }
    }
    line(&format!("401 {:.1} s after Keystone locked dave out", began.elapsed().as_secs_f64()));
    admin.ask(Method::PATCH, "identity", &path, Some(&lock(true))).await?.success()?;
    Ok(())
}
