//! The scenario in the real sandbox, against a rehearsed cloud: one that works, one that is full, one that hangs.

use archipel_testkit::{Archipel, Error};

#[test]
fn the_contract_holds() -> Result<(), Error> {
    Archipel::find()?.bench(archipel_testkit::build()?, "tests/case.json")?.contract()
}
