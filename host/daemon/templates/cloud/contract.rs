//! The plugin in the real runtime, against a recording of its cloud: the contract of its interfaces, and what it promises
//! besides.

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
fn a_create_carries_the_orders_tag_in_its_one_request() -> Result<(), Error> {
    let mut bench = bench()?;
    let created = bench.call("compute.request-instance", json!({}))?;
    assert_eq!(created["id"], "m-1");
    let requests = bench.call("http.requests", json!({}))?;
    assert_eq!(requests, json!(["POST https://api.cloud.example.org/v1/machines"]));
    Ok(())
}
