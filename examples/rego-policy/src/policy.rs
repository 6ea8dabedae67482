//! The policies: read, checked and prepared once, asked many times.

use archipel_sdk::lifecycle::File;
use archipel_sdk::prelude::*;
use regorus::{CompiledPolicy, Engine, Rc, Value};

use crate::answer;

/// Tests of policies, which `opa test` runs; they lie beside what they test.
const TESTS: &str = "_test.rego";

/// Policies that one rule speaks for.
pub(crate) struct Policy(CompiledPolicy);

impl Policy {
    /// Reads the policies (`.rego`) and data (`.json`) of the granted folder; other files are passed over.
    pub(crate) fn new(rule: &str, files: &[File]) -> Result<Self> {
        let mut engine = Engine::new();
        let mut policies = 0_usize;
        for File { path, contents } in files {
            let (is_policy, is_data) =
                (path.ends_with(".rego") && !path.ends_with(TESTS), path.ends_with(".json"));
            if !is_policy && !is_data {
                continue;
            }
            let text = std::str::from_utf8(contents).map_err(|_| wrong(path, &"it is not UTF-8"))?;
            if is_policy {
                engine
                    .add_policy(path.clone(), text.to_owned())
                    .map_err(|error| Error::invalid(in_one_line(&error)))?;
                policies += 1;
            } else {
                let data = Value::from_json_str(text).map_err(|error| wrong(path, &error))?;
                engine.add_data(data).map_err(|error| wrong(path, &error))?;
            }
        }
        if policies == 0 {
            return Err(Error::invalid(
                "there is no .rego file in the granted folder; put the site's policy there",
            ));
        }
        let compiled =
            engine.compile_with_entrypoint(&Rc::from(rule)).map_err(|error| wrong(rule, &error))?;
        Ok(Self(compiled))
    }

    /// Asks the rule.
    pub(crate) fn decide(&self, input: Value) -> Result<Decision> {
        let value = self.0.eval_with_input(input).map_err(|error| Error::invalid(in_one_line(&error)))?;
        answer::decision(&value)
    }
}

fn wrong(where_: &str, why: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("{where_}: {}", in_one_line(why)))
}

/// regorus draws where in the source an error lies; a log line has no room for that.
fn in_one_line(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "|").collect::<Vec<_>>().join(" ")
}
