//! P1: what our runtime adds to one AAA call.
//!
//! | | ours | baseline |
//! |---|---|---|
//! | way | the model's traits, as identity calls them | bare wasmtime, from the same task |
//! | engine | the same `Config`, epochs on, pooled, `concurrency_support(false)` | the same |
//! | store | the same imports and WASI state | the same |
//! | per call | slots, limiter, deadline, supervision, figures, conversions | instantiate, call, drop; the conversions too |
//!
//! And what a snapshot is worth to a large plugin ([`rego`]): ours starts each call from it; on bare wasmtime one baseline is
//! prepared anew for each call, and the other is an instance that stays, with no isolation between users.
//!
//! Both sides are called in turns from one task of a multi-threaded runtime, as a request handler would.
#![allow(clippy::expect_used, reason = "a bench that cannot measure has nothing to say")]

mod asked;
mod figures;
mod rego;
mod sampling;
mod site;

use std::sync::Arc;

use archipel_model::plugin::{Credential, LoginOutcome, Operation};
use archipel_model::{FederationUser, SecretBytes};
use archipel_runtime::bench::{Bare, BareEngine};
use tokio::sync::Mutex;

use crate::sampling::{GOAL, Turn, criterion, in_turn, measure};
use crate::site::{Place, Result, Setup, Site};

fn main() -> Result<()> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let place = Arc::new(Place::new()?);
    place.drop_plugin(rego::PLUGIN, &rego::wasm()?)?;
    place.write(&rego::policies()?)?;
    let setup = Setup { policies: vec![rego::policy(rego::PLUGIN)], ..Setup::default() };
    let site = tokio.block_on(Site::start_in(&place, setup))?;
    let engine = BareEngine::new()?;
    let mut criterion = criterion();
    let mut measure = |id: &str, what: &str, goal: Option<&str>, turn: &Turn| {
        measure(&mut criterion, tokio.handle(), id, what, goal, turn);
    };

    let alice = asked::alice(&site);
    let what = "one AAA call over bare wasmtime (authz-roles: is-authorized)";
    measure("P1", what, GOAL, &authorization(&site, &engine, alice.clone())?);
    let what = "the same with 10 KiB of the user's attributes";
    let turn = authorization(&site, &engine, asked::with_attributes(alice))?;
    measure("P1-10KiB", what, GOAL, &turn);
    let what = "one AAA call over bare wasmtime (aaa-local: get-federation-user)";
    measure("P1-identity", what, GOAL, &tokio.block_on(identity(&site, &engine))?);

    let bare = bare_rego(&site, &engine)?;
    let what =
        "a Rego policy (3.5 MB) fresh from its snapshot, over bare wasmtime fresh and prepared in each call";
    measure("P1-rego-fresh", what, None, &rego_prepared(&site, bare)?);
    let what = "the same over an instance on bare wasmtime that is used again and again";
    measure("P1-rego-warm", what, None, &tokio.block_on(rego_warm(&site, bare))?);
    criterion.final_summary();
    tokio.block_on(site.stop());
    Ok(())
}

fn authorization(site: &Site, engine: &BareEngine, user: FederationUser) -> Result<Turn> {
    let bare = Arc::new(site.bare_authz_roles(engine)?);
    let plugin = site.policy("authz-roles")?;
    let resource = asked::compute(site, &user);
    let asked = Arc::new((user, resource, site.context(Operation::Read)));
    Ok(Arc::new(move |ours_first| {
        let (bare, plugin, asked) = (Arc::clone(&bare), Arc::clone(&plugin), Arc::clone(&asked));
        Box::pin(async move {
            let (user, resource, context) = &*asked;
            let ours = plugin.is_authorized(user, resource, context);
            let (ours, baseline) =
                in_turn(ours_first, ours, bare.is_authorized(user, resource, context)).await;
            assert_eq!(ours.1.expect("ours allows"), baseline.1.expect("the baseline allows"));
            (ours.0, baseline.0)
        })
    }))
}

/// The large plugin on bare wasmtime. It lives as long as the bench does, because instances borrow it.
fn bare_rego(site: &Site, engine: &BareEngine) -> Result<&'static Bare> {
    let config = rego::policy(rego::PLUGIN).config;
    let bare = site.bare_of(engine, &rego::wasm()?, rego::PLUGIN, "authorization/rego-policy", &config)?;
    Ok(Box::leak(Box::new(bare)))
}

fn rego_prepared(site: &Site, bare: &'static Bare) -> Result<Turn> {
    let plugin = site.policy(rego::PLUGIN)?;
    let asked = Arc::new((rego::question(site), rego::policies()?));
    Ok(Arc::new(move |ours_first| {
        let (plugin, asked) = (Arc::clone(&plugin), Arc::clone(&asked));
        Box::pin(async move {
            let ((user, resource, context), files) = &*asked;
            let ours = plugin.is_authorized(user, resource, context);
            let baseline = async { bare.prepared(files).await?.is_authorized(user, resource, context).await };
            let (ours, baseline) = in_turn(ours_first, ours, baseline).await;
            assert_eq!(ours.1.expect("ours allows"), baseline.1.expect("the baseline allows"));
            (ours.0, baseline.0)
        })
    }))
}

async fn rego_warm(site: &Site, bare: &'static Bare) -> Result<Turn> {
    let plugin = site.policy(rego::PLUGIN)?;
    let asked = Arc::new(rego::question(site));
    let warm = Arc::new(Mutex::new(bare.prepared(&rego::policies()?).await?));
    Ok(Arc::new(move |ours_first| {
        let (plugin, asked, warm) = (Arc::clone(&plugin), Arc::clone(&asked), Arc::clone(&warm));
        Box::pin(async move {
            let (user, resource, context) = &*asked;
            let mut warm = warm.lock().await;
            let ours = plugin.is_authorized(user, resource, context);
            let (ours, baseline) =
                in_turn(ours_first, ours, warm.is_authorized(user, resource, context)).await;
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
