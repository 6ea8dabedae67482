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
fn strangers_may_not_order() -> Result<(), Error> {
    let mut bench = bench()?;
    let asked = json!({ "operation": "create", "user": { "groups": ["biology"] } });
    let decision = bench.call("authorization.is-authorized", asked)?;
    assert_eq!(decision["allow"], false, "{decision}");
    assert_eq!(decision["reason"], "join the group physics first");
    Ok(())
}
