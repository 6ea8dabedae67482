//! What a caller may do.

use std::time::Duration;

use archipel_model::plugin::{Decision, Obligation, Operation, Reach, Resource};
use archipel_model::{Error, ErrorKind};

use super::fakes::*;
use crate::{AAA_UNAVAILABLE, Caller, Granted};

async fn caller(world: &World) -> Caller {
    let token = world.token().await;
    world.who(&token).await.unwrap()
}

async fn may(world: &World, operation: Operation) -> Result<Granted, Error> {
    let caller = caller(world).await;
    world.identity.authorize(&caller, operation, &resource(), &request()).await
}

fn obliged(name: &str, value: &str) -> Decision {
    let obligations = vec![Obligation { name: name.into(), value: value.into() }];
    Decision::Allow { reach: Reach::Any, obligations, valid_for: None }
}

fn reusable(seconds: u64) -> Result<Decision, Error> {
    let valid_for = Some(Duration::from_secs(seconds));
    Ok(Decision::Allow { reach: Reach::Group, obligations: vec![], valid_for })
}

/// Sets what a link says for everything but the login.
fn says(world: &World, link: &'static str, decision: Result<Decision, Error>) {
    world.fake.script().decisions.insert(link, decision);
}

#[tokio::test]
async fn all_must_allow_and_the_narrowest_reach_holds() {
    let world = World::new();
    let who = caller(&world).await;
    let ask = async || world.identity.authorize(&who, Operation::Read, &resource(), &request()).await;
    assert_eq!(ask().await.unwrap().reach, Reach::Any);
    says(&world, "second", Ok(allow(Reach::Group)));
    let granted = ask().await.unwrap();
    assert_eq!(granted.reach, Reach::Group);
    assert!(granted.covers(&who, &who.owner(), None));
    let other = archipel_model::Owner { issuer: ISSUER.into(), subject: "bob".into() };
    assert!(
        granted.covers(&who, &other, Some("physics")) && !granted.covers(&who, &other, Some("chemistry"))
    );
    assert!(!granted.covers(&who, &other, None));
    says(&world, "first", Ok(Decision::Deny { reason: "not on\nSundays".into(), obligations: vec![] }));
    let asked = world.fake.count("second");
    let error = ask().await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Forbidden, "not onSundays"));
    assert!(error.has_code("forbidden"));
    assert_eq!(world.fake.count("second"), asked, "a no ends the chain");
}

#[tokio::test]
async fn an_empty_chain_refuses_everything() {
    let world = World::new();
    let token = world.token().await;
    world.swap(|next| next.authorization.clear());
    let who = world.who(&token).await.unwrap();
    let error = world.identity.authorize(&who, Operation::Read, &resource(), &request()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert!(error.message.contains("[[authorization]]"), "{error}");
}

#[tokio::test]
async fn a_policy_that_is_away_is_neither_yes_nor_no() {
    let world = World::new();
    let who = caller(&world).await;
    let ask =
        async || world.identity.authorize(&who, Operation::Read, &resource(), &request()).await.unwrap_err();
    for error in [Error::transient("x").code("plugin-trap"), Error::internal("x"), Error::permanent("x")] {
        says(&world, "second", Err(error));
        assert!(ask().await.has_code(AAA_UNAVAILABLE));
    }
    says(&world, "second", Ok(allow(Reach::Any)));
    let token = world.token().await;
    world.swap(|next| next.aaa_away = vec!["identity other: not loaded".into()]);
    let who = world.who(&token).await.unwrap();
    let granted = world.identity.authorize(&who, Operation::Read, &resource(), &request()).await;
    assert!(granted.is_ok(), "another binding that is away is no reason");
}

#[tokio::test]
async fn every_obligation_is_met_or_refuses() {
    let world = World::new();
    let who = caller(&world).await;
    let ask = async |first, second| {
        says(&world, "first", Ok(first));
        says(&world, "second", Ok(second));
        world.identity.authorize(&who, Operation::Create, &resource(), &request()).await
    };
    let granted = ask(obliged("max-lease", "3600"), obliged("max-lease", "60")).await.unwrap();
    assert_eq!(granted.max_lease_s, Some(60));
    let labels = obliged("add-labels", r#"{"project":"x"}"#);
    let granted = ask(labels.clone(), obliged("add-labels", r#"{"cost":"y"}"#)).await.unwrap();
    assert_eq!(granted.add_labels.into_iter().collect::<Vec<_>>().len(), 2);
    assert!(ask(labels, obliged("add-labels", r#"{"project":"z"}"#)).await.is_err());
    let granted = ask(obliged("redact", "/instance/addresses"), obliged("log", "seen")).await.unwrap();
    assert_eq!(granted.redact, ["/instance/addresses"]);
    ask(obliged("step-up", "low"), allow(Reach::Any)).await.unwrap();
    let error = ask(obliged("step-up", "high"), allow(Reach::Any)).await.unwrap_err();
    assert_eq!(error.message, "this needs the assurance \"high\"; log in again with it");
    assert_eq!(error.details["step_up"], "high");
    for bad in [
        obliged("max-lease", "soon"),
        obliged("add-labels", "[]"),
        obliged("add-labels", r#"{"a":1}"#),
        obliged("redact", "instance"),
        obliged("notify", "ops"),
        obliged("", ""),
    ] {
        let error = ask(bad.clone(), allow(Reach::Any)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Forbidden, "{bad:?}");
        assert!(ask(allow(Reach::Any), bad).await.is_err(), "wherever it stands in the chain");
    }
}

#[tokio::test]
async fn managing_the_site_needs_any_from_everybody() {
    let world = World::new();
    may(&world, Operation::Admin).await.unwrap();
    says(&world, "second", Ok(allow(Reach::Group)));
    let error = may(&world, Operation::Admin).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    let admin = world.identity.local_admin(&request());
    let granted = world.identity.authorize(&admin, Operation::Admin, &resource(), &request()).await.unwrap();
    assert_eq!(granted.reach, Reach::Any);
}

#[tokio::test]
async fn an_allow_is_reused_for_the_shortest_validity_and_the_same_question_only() {
    let world = World::new();
    let who = caller(&world).await;
    says(&world, "first", reusable(3600));
    says(&world, "second", reusable(30));
    let start = world.fake.count("second");
    let ask = async |change: fn(&mut Resource), operation| {
        let mut resource = resource();
        change(&mut resource);
        world.identity.authorize(&who, operation, &resource, &request()).await.unwrap();
        world.fake.count("second") - start
    };
    assert_eq!(ask(|_| (), Operation::Read).await, 1);
    assert_eq!(ask(|_| (), Operation::Read).await, 1);
    assert_eq!(ask(|_| (), Operation::Delete).await, 2, "another operation");
    assert_eq!(ask(|r| r.state = Some("open".into()), Operation::Read).await, 3);
    assert_eq!(ask(|r| r.cloud = None, Operation::Read).await, 4);
    assert_eq!(ask(|r| r.spec = Some(serde_json::json!({"vcpu": 2})), Operation::Read).await, 5);
    assert_eq!(ask(|r| r.labels = vec![("a".into(), "b".into())], Operation::Read).await, 6);
    world.fake.turn(Duration::from_millis(29_999));
    assert_eq!(ask(|_| (), Operation::Read).await, 6);
    world.fake.turn(Duration::from_millis(1));
    assert_eq!(ask(|_| (), Operation::Read).await, 7);
    world.identity.revoke(archipel_model::SessionId::generate()).await.unwrap();
    assert_eq!(ask(|_| (), Operation::Read).await, 8, "a revocation empties it");
    says(&world, "second", reusable(3600));
    world.identity.forget_cached();
    assert_eq!(ask(|_| (), Operation::Read).await, 9);
    world.fake.turn(Duration::from_secs(59));
    assert_eq!(ask(|_| (), Operation::Read).await, 9);
    world.fake.turn(Duration::from_secs(1));
    assert_eq!(ask(|_| (), Operation::Read).await, 10, "never longer than a minute");
    says(&world, "first", Ok(allow(Reach::Any)));
    world.fake.turn(Duration::from_secs(60));
    assert_eq!(ask(|_| (), Operation::Read).await, 11);
    assert_eq!(ask(|_| (), Operation::Read).await, 12, "one link without a validity is enough");
}

#[tokio::test]
async fn a_swap_and_another_address_ask_again() {
    let world = World::new();
    let token = world.token().await;
    says(&world, "first", reusable(60));
    says(&world, "second", reusable(60));
    let start = world.fake.count("second");
    let ask = async |address: &str| {
        let request = crate::RequestInfo { client_address: Some(address.into()), ..request() };
        let who = world.identity.authenticate(&token, None, &request).await.unwrap();
        world.identity.authorize(&who, Operation::Read, &resource(), &request).await.unwrap();
        world.fake.count("second") - start
    };
    assert_eq!(ask("192.0.2.1:1").await, 1);
    assert_eq!(ask("192.0.2.1:2").await, 1, "the port is no difference");
    assert_eq!(ask("192.0.2.2:1").await, 2);
    world.swap(|_| ());
    assert_eq!(ask("192.0.2.1:1").await, 3);
}

#[tokio::test]
async fn many_are_judged_each_for_itself() {
    let world = World::new();
    let who = caller(&world).await;
    let mut resources = vec![resource(); 450];
    resources[3].state = Some("closed".into());
    let start = (world.fake.count("first"), world.fake.count("second"));
    let answers = world.identity.authorize_many(&who, Operation::List, &resources, &request()).await.unwrap();
    let refused: Vec<usize> = (0..450).filter(|index| answers[*index].is_err()).collect();
    assert_eq!(refused, [3]);
    assert_eq!(answers[3].as_ref().unwrap_err().message, "first says no");
    let asked = (world.fake.count("first") - start.0, world.fake.count("second") - start.1);
    assert_eq!(asked, (3, 3), "in three calls each");
    world.fake.script().cut_answers = true;
    let error =
        world.identity.authorize_many(&who, Operation::List, &resources, &request()).await.unwrap_err();
    assert!(error.has_code(AAA_UNAVAILABLE), "an answer too few is no answer");
    assert!(world.identity.authorize_many(&who, Operation::List, &[], &request()).await.unwrap().is_empty());
}
