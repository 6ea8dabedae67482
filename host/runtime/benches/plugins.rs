//! P1: what our runtime adds to one AAA call.
//!
//! | | ours | baseline |
//! |---|---|---|
//! | way | the model's traits, as identity calls them | bare wasmtime, from the same task |
//! | engine | the same `Config`, epochs on, pooled, `concurrency_support(false)` | the same |
//! | store | the same imports and WASI state | the same |
//! | per call | slots, limiter, deadline, supervision, figures, conversions | instantiate, call, drop; the conversions too |
//!
//! Both sides are called in turns from one task of a multi-threaded runtime, as a request handler would.
#![allow(clippy::expect_used, reason = "a bench that cannot measure has nothing to say")]

mod sampling;
mod site;

use std::sync::Arc;

use archipel_model::plugin::{Credential, LoginOutcome, Operation, Resource};
use archipel_model::{FederationUser, OrderId, SecretBytes};
use archipel_runtime::bench::BareEngine;
use serde_json::json;

use crate::sampling::{Turn, criterion, in_turn, measure};
use crate::site::{Result, Site};

fn main() -> Result<()> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let site = tokio.block_on(Site::start(0))?;
    let engine = BareEngine::new()?;
    let mut criterion = criterion();
    let turn = authorization(&site, &engine)?;
    measure(
        &mut criterion,
        tokio.handle(),
        "P1",
        "one AAA call over bare wasmtime (authz-roles: is-authorized)",
        &turn,
    );
    let turn = tokio.block_on(identity(&site, &engine))?;
    let what = "one AAA call over bare wasmtime (aaa-local: get-federation-user)";
    measure(&mut criterion, tokio.handle(), "P1-identity", what, &turn);
    criterion.final_summary();
    tokio.block_on(site.stop());
    Ok(())
}

fn authorization(site: &Site, engine: &BareEngine) -> Result<Turn> {
    let bare = Arc::new(site.bare_authz_roles(engine)?);
    let generation = site.runtime.site().current();
    let plugin = Arc::clone(&generation.authorization.first().ok_or("no policy")?.plugin);
    let user = Arc::new(alice(site));
    let resource = Arc::new(compute(site, &user));
    let context = Arc::new(site.context(Operation::Read));
    Ok(Arc::new(move |ours_first| {
        let (bare, plugin) = (Arc::clone(&bare), Arc::clone(&plugin));
        let (user, resource, context) = (Arc::clone(&user), Arc::clone(&resource), Arc::clone(&context));
        Box::pin(async move {
            let ours = plugin.is_authorized(&user, &resource, &context);
            let (ours, baseline) =
                in_turn(ours_first, ours, bare.is_authorized(&user, &resource, &context)).await;
            assert_eq!(ours.1.expect("ours allows"), baseline.1.expect("the baseline allows"));
            (ours.0, baseline.0)
        })
    }))
}

async fn identity(site: &Site, engine: &BareEngine) -> Result<Turn> {
    let bare = Arc::new(site.bare_aaa_local(engine)?);
    let token = inner_token(site).await?;
    let generation = site.runtime.site().current();
    let plugin = Arc::clone(&generation.identity.first().ok_or("no identity")?.identity);
    Ok(Arc::new(move |ours_first| {
        let (bare, plugin, token) = (Arc::clone(&bare), Arc::clone(&plugin), token.clone());
        Box::pin(async move {
            let ours = plugin.get_federation_user(&token);
            let (ours, baseline) = in_turn(ours_first, ours, bare.get_federation_user(&token)).await;
            assert_eq!(ours.1.expect("ours knows her"), baseline.1.expect("the baseline knows her"));
            (ours.0, baseline.0)
        })
    }))
}

/// A token of the identity plugin itself.
async fn inner_token(site: &Site) -> Result<SecretBytes> {
    let generation = site.runtime.site().current();
    let generator = generation.identity.first().and_then(|binding| binding.generator.clone());
    let generator = generator.ok_or("aaa-local makes no tokens")?;
    let typed = [("username", site::ALICE), ("password", site::ALICE)];
    let typed =
        typed.map(|(name, value)| Credential { name: name.to_owned(), value: SecretBytes::new(value) });
    match generator.create_token(typed.into(), &site.context(Operation::Login)).await? {
        LoginOutcome::Issued { token, .. } => Ok(token),
        LoginOutcome::Challenge(_) => Err("aaa-local asks for more".into()),
    }
}

fn alice(site: &Site) -> FederationUser {
    FederationUser {
        issuer: "https://site-a.example.org".to_owned(),
        subject: site::ALICE.to_owned(),
        name: "Alice".to_owned(),
        email: Some("alice@example.org".to_owned()),
        groups: vec!["physics".to_owned()],
        entitlements: Vec::new(),
        attributes: Vec::new(),
        home_site: Some(site.id.clone()),
        assurance: String::new(),
        authenticated_at: site.clock.now(),
        expires_at: None,
    }
}

/// An order for a compute, as the policy is asked about it when its owner reads it.
fn compute(site: &Site, user: &FederationUser) -> Resource {
    Resource {
        kind: "compute".to_owned(),
        id: Some(OrderId::generate()),
        cloud: Some("emulated".to_owned()),
        site: site.id.clone(),
        owner: Some(user.owner()),
        group: Some("physics".to_owned()),
        state: Some("fulfilled".to_owned()),
        labels: vec![("project".to_owned(), "lattice".to_owned())],
        spec: Some(json!({"name": "web", "image": "@cirros", "vcpu": 1, "ram_mib": 256})),
        owner_usage: None,
        group_usage: None,
    }
}
