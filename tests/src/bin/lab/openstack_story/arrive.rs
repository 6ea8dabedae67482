//! Who gets in. Nobody here is known to the site: Keystone vouches for all of them.

use anyhow::{Context, Result, bail, ensure};
use archipel_client::{Client, ClientError};
use archipel_tests::openstack::site::{self, CLOUD};
use serde_json::{Value, json};

use super::{Story, heading, line, text};

/// Who is logged in.
pub(super) struct People {
    /// Of physics.
    pub(super) alice: Client,
    /// Of biology.
    pub(super) bob: Client,
    /// Of chemistry, which has a small quota.
    pub(super) carol: Client,
    /// Of physics; the policy lets him look only.
    pub(super) dave: Client,
    /// Of no group.
    pub(super) erin: Client,
}

pub(super) async fn walk(story: &mut Story) -> Result<People> {
    heading("users of Keystone log in");
    stays_out(story).await?;
    let people = People {
        alice: story.log_in("alice").await?,
        bob: story.log_in("bob").await?,
        carol: story.log_in("carol").await?,
        dave: story.log_in("dave").await?,
        erin: story.log_in("erin").await?,
    };
    let me = people.alice.get("/v1/me").await?.success()?;
    ensure!(me["issuer"] == story.peer.auth_url(), "another issuer: {me}");
    ensure!(me["subject"] == story.peer.user("alice").id(), "another subject: {me}");
    ensure!(me["groups"] == json!(["physics"]), "not the groups that Keystone has: {me}");
    line(&format!("alice is {} of {}, group physics", text(&me, "subject"), text(&me, "issuer")));
    with_application_credential(story).await?;
    look_around(story, &people.alice).await?;
    Ok(people)
}

async fn stays_out(story: &Story) -> Result<()> {
    let alice = story.peer.user("alice");
    for password in [story.peer.user("bob").password(), "", "wrong"] {
        match site::token(&story.client()?, alice, password).await {
            Ok(_) => bail!("a wrong password was accepted"),
            Err(error) => {
                let refused = error.downcast_ref::<ClientError>();
                let status = refused.and_then(|error| match error {
                    ClientError::Refused(refused) => Some(refused.status),
                    _ => None,
                });
                // An empty field is no wrong password but a login that lacks one.
                let is_right = status == Some(401) || (password.is_empty() && status == Some(422));
                ensure!(is_right, "a wrong password: {error:#}");
            }
        }
    }
    line("a wrong password is 401");
    Ok(())
}

async fn with_application_credential(story: &mut Story) -> Result<()> {
    let (id, secret) = story.peer.user("alice").application_credential().context("a credential")?;
    let credentials = json!({"application_credential_id": id, "application_credential_secret": secret});
    let answer = story
        .client()?
        .post("/v1/tokens", &json!({"binding": "keystone", "credentials": credentials}))
        .await?;
    let answer = answer.success().context("logging in with an application credential")?;
    let token = text(&answer, "token").to_owned();
    let me = story.client()?.with_token(token.clone()).get("/v1/me").await?.success()?;
    ensure!(me["subject"] == story.peer.user("alice").id(), "not alice: {me}");
    story.secrets.push(("the site's token by application credential".to_owned(), token));
    line("her application credential makes her the same user");
    Ok(())
}

async fn look_around(story: &Story, alice: &Client) -> Result<()> {
    for (list, known, name) in
        [("specs", "flavors", "m1.tiny"), ("images", "image", ""), ("networks", "networks", "common")]
    {
        let answer = alice.get(&format!("/v1/clouds/{CLOUD}/{list}")).await?.success()?;
        let items = answer["items"].as_array().context("a list")?;
        let wanted = if name.is_empty() { story.peer.image() } else { story.peer.id_of(known, name) };
        ensure!(items.iter().any(|item| item["id"] == wanted), "{wanted} is not among the {list}: {answer}");
        let names: Vec<&str> = items.iter().map(|item| text(item, "name")).collect();
        line(&format!("{list}: {}", names.join(", ")));
    }
    let quota = alice.get(&format!("/v1/clouds/{CLOUD}/quota")).await?.success()?;
    let entry = |name: &str| -> Result<Value> {
        let entries = quota["entries"].as_array().context("quota entries")?;
        Ok(entries
            .iter()
            .find(|entry| entry["name"] == name)
            .with_context(|| format!("{name} in {quota}"))?
            .clone())
    };
    for (name, total) in [("instances", 100), ("vcpu", 200), ("volumes", 100), ("networks", 100)] {
        let entry = entry(name)?;
        ensure!(entry["total"] == total, "{name} should be {total}: {entry}");
    }
    line(&format!("quota: {} of {} instances", entry("instances")?["used"], entry("instances")?["total"]));
    Ok(())
}
