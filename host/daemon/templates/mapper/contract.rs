//! The plugin in the real runtime: the contract of its interface, and what it promises besides.

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
fn drivers_are_told_the_region_and_lent_the_credential() -> Result<(), Error> {
    let mut bench = bench()?;
    let account = bench.call("mapper.map-user", json!({}))?;
    let token = bench.call("mapper.get-token", json!({ "account": account }))?;
    assert_eq!(token["attributes"]["region"], "east");
    assert!(token["token"].is_string(), "{token}");
    Ok(())
}

#[test]
fn who_is_in_no_group_has_no_account() -> Result<(), Error> {
    let answer = bench()?.call("mapper.map-user", json!({ "user": { "groups": [] } }));
    assert!(matches!(&answer, Err(Error::Plugin { kind, .. }) if kind == "forbidden"), "{answer:?}");
    Ok(())
}
