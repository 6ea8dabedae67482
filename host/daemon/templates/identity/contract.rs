//! The plugin in the real runtime: the contract of its interfaces, and what it promises besides.

use std::time::Duration;

use archipel_testkit::{Archipel, Bench, Error};
use serde_json::json;

fn bench() -> Result<Bench, Error> {
    Archipel::find()?.bench(archipel_testkit::build()?, "tests/case.json")
}

#[test]
fn the_contract_holds() -> Result<(), Error> {
    bench()?.contract()
}

#[test]
fn a_login_ends_after_eight_hours() -> Result<(), Error> {
    let mut bench = bench()?;
    let login = bench.call("token-generator.create-token", json!({}))?;
    let user = bench.call("federation-identity.get-federation-user", json!({ "token": login["token"] }))?;
    assert_eq!(user["subject"], "ada");
    bench.turn_clock(Duration::from_secs(9 * 3600))?;
    let late = bench.call("federation-identity.get-federation-user", json!({ "token": login["token"] }));
    assert!(matches!(&late, Err(Error::Plugin { kind, .. }) if kind == "unauthenticated"), "{late:?}");
    Ok(())
}
