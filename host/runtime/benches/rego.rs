//! A plugin of some size: `examples/rego-policy`, an interpreter with its tables in 3.5 MB, and what it is asked.
#![allow(dead_code, reason = "each bench uses its own part")]

use std::path::PathBuf;

use archipel_model::FederationUser;
use archipel_model::plugin::{Context, Operation, Resource};
use serde_json::json;

use crate::asked;
use crate::site::{Policy, Result, Site, component};

/// The plugin's name.
pub(crate) const PLUGIN: &str = "rego-policy";
/// The folder that it asks for.
pub(crate) const FOLDER: &str = "policies";
/// What Rego-sized means.
const LARGE: usize = 2_000_000;

/// The component as it ships.
pub(crate) fn wasm() -> Result<Vec<u8>> {
    let wasm = component(&format!("apart/{PLUGIN}"))?;
    if wasm.len() < LARGE {
        return Err(format!("{PLUGIN} has {} bytes only; measure a larger plugin", wasm.len()).into());
    }
    Ok(wasm)
}

/// The same plugin under another digest: with a custom section that says so.
pub(crate) fn version(wasm: &[u8], number: usize) -> Vec<u8> {
    let name = b"archipel:bench";
    let data = number.to_le_bytes();
    // Both lengths are below 128, so each is one byte of LEB128.
    let length = |bytes: usize| u8::try_from(bytes).unwrap_or(127);
    let mut versioned = wasm.to_vec();
    versioned.extend([0, length(1 + name.len() + data.len()), length(name.len())]);
    versioned.extend(name);
    versioned.extend(data);
    versioned
}

/// The policies that lie beside it, as the host hands them over.
pub(crate) fn policies() -> Result<Vec<(String, Vec<u8>)>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/rego-policy").join(FOLDER);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push((format!("{FOLDER}/{name}"), std::fs::read(entry.path())?));
    }
    files.sort();
    Ok(files)
}

/// Its place in a chain, as it is or as [`version`]s beside each other.
pub(crate) fn policy(plugin: &str) -> Policy {
    Policy { plugin: plugin.to_owned(), config: json!({}), grant: json!({"folders": [FOLDER]}) }
}

/// What it is asked: whether a member of a group may start a machine.
pub(crate) fn question(site: &Site) -> (FederationUser, Resource, Context) {
    let user = asked::alice(site);
    let resource = Resource { id: None, state: None, ..asked::compute(site, &user) };
    (user, resource, site.context(Operation::Create))
}
