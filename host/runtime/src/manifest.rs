//! What a plugin says of itself: JSON in the custom section `archipel:manifest`, read before anything is compiled.
//!
//! The SDK's `export!` writes it. It is a request, not a right: what the administrator grants is in
//! [`grants`](crate::grants).

use std::collections::BTreeMap;
use std::time::Duration;

use archipel_model::order::Kind;
use archipel_model::plugin::{CreateBehaviour, DriverDescriptor};
use archipel_model::power::PowerAction;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::grants::Requested;

/// Name of the custom section.
pub const SECTION: &str = "archipel:manifest";

/// The version of `wit/` that this host speaks.
pub const WIT_VERSION: &str = "0.1.0";

/// A plugin's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The package's name; the file's name is what the site file uses.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// What made it, e.g. `archipel-sdk 0.1.0`.
    pub sdk: String,
    /// The version of the WIT contract.
    pub wit: String,
    /// Interfaces it exports, e.g. `archipel:aaa/authorization@0.1.0`.
    pub interfaces: Vec<String>,
    /// What it asks for.
    #[serde(default)]
    pub capabilities: Requested,
    /// JSON Schema of its configuration; none = it takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<Map<String, Value>>,
    /// How each kind is created, by kind.
    #[serde(default)]
    pub drivers: BTreeMap<String, Driven>,
}

/// How creates of one kind behave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Driven {
    /// What a second create of the same order does.
    pub create: CreateBehaviour,
    /// After so many ms a create of unknown outcome is visible, or never was.
    pub settle_ms: u64,
    /// The power actions of `archipel:cloud/compute-power` that it has; of computes alone.
    #[serde(default)]
    pub actions: Vec<PowerAction>,
}

impl Driven {
    /// As the scheduler wants it.
    pub fn descriptor(&self) -> DriverDescriptor {
        DriverDescriptor { create: self.create, settle: Duration::from_millis(self.settle_ms) }
    }
}

/// Reads a manifest and checks what serde cannot.
///
/// # Errors
/// What is wrong, with its path.
pub fn parse(bytes: &[u8]) -> Result<Manifest, String> {
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if manifest.wit != WIT_VERSION {
        return Err(format!(
            "wit: this host speaks {WIT_VERSION}, the plugin {:?}; build it with the SDK of this release",
            manifest.wit
        ));
    }
    for (index, host) in manifest.capabilities.hosts.iter().enumerate() {
        let problem = match (&host.origin, &host.config, &host.discovered) {
            (Some(_), None, None) | (None, None, Some(_)) => None,
            (None, Some(pointer), None) if pointer.starts_with('/') => None,
            (None, Some(_), None) => Some("config: write a JSON pointer such as \"/auth_url\""),
            _ => Some("name one of origin, config and discovered"),
        };
        if let Some(problem) = problem {
            return Err(format!("capabilities.hosts[{index}]: {problem}"));
        }
    }
    for (kind, driven) in &manifest.drivers {
        match kind.parse::<Kind>() {
            Err(_) => return Err(format!("drivers: unknown kind {kind:?}")),
            Ok(Kind::Compute) => {}
            Ok(_) if driven.actions.is_empty() => {}
            Ok(_) => return Err(format!("drivers.{kind}.actions: computes alone have power actions")),
        }
    }
    Ok(manifest)
}

/// A component with this manifest appended, for compilers that write none.
pub fn embed(component: &[u8], manifest: &[u8]) -> Vec<u8> {
    let mut contents = leb128(SECTION.len());
    contents.extend_from_slice(SECTION.as_bytes());
    contents.extend_from_slice(manifest);
    let mut bytes = component.to_vec();
    // A custom section: id 0, its length, its name, its contents.
    bytes.push(0);
    bytes.extend(leb128(contents.len()));
    bytes.extend(contents);
    bytes
}

/// Unsigned LEB128, as the binary format writes lengths.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{"name":"a","version":"1.0.0","sdk":"s","wit":"0.1.0","interfaces":["archipel:cloud/compute@0.1.0"],
        "capabilities":{"hosts":[{"config":"/url","reason":"r"}]},"drivers":{"compute":{"create":"searchable","settle_ms":5000}}}"#;

    #[test]
    fn what_the_sdk_writes_is_read() {
        let manifest = parse(SMALL.as_bytes()).unwrap();
        assert_eq!(manifest.drivers["compute"].descriptor().settle, Duration::from_secs(5));
    }

    #[test]
    fn what_is_embedded_is_found_again() {
        let long = SMALL.replace("\"sdk\":\"s\"", &format!("\"sdk\":\"{}\"", "s".repeat(300)));
        let bytes = embed(b"\0asm\x0d\0\x01\0", long.as_bytes());
        let scan = crate::scan::scan(&bytes, &crate::limits::RuntimeLimits::default()).unwrap();
        assert_eq!(scan.manifests, [long.into_bytes()]);
    }

    #[test]
    fn what_the_host_does_not_know_is_refused_with_its_path() {
        let unknown = SMALL.replace("\"sdk\"", "\"skd\"");
        assert!(parse(unknown.as_bytes()).unwrap_err().contains("skd"));
        let other = SMALL.replace("\"wit\":\"0.1.0\"", "\"wit\":\"0.9.0\"");
        assert!(parse(other.as_bytes()).unwrap_err().starts_with("wit: this host speaks 0.1.0"));
        let host = SMALL.replace("/url", "url");
        assert!(parse(host.as_bytes()).unwrap_err().contains("capabilities.hosts[0]: config"));
        let kind = SMALL.replace("{\"compute\":{\"create\"", "{\"computer\":{\"create\"");
        assert!(parse(kind.as_bytes()).unwrap_err().contains("computer"));
        let acting = |kind: &str, action: &str| {
            let acting = format!("\"{kind}\":{{\"actions\":[\"{action}\"],\"create\"");
            parse(SMALL.replace("\"compute\":{\"create\"", &acting).as_bytes())
        };
        assert_eq!(acting("compute", "stop").unwrap().drivers["compute"].actions, [PowerAction::Stop]);
        assert!(acting("compute", "explode").unwrap_err().contains("explode"));
        assert_eq!(
            acting("volume", "stop").unwrap_err(),
            "drivers.volume.actions: computes alone have power actions"
        );
    }
}
