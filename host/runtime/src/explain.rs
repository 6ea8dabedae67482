//! What a file is, and what keeps it from being a plugin, without running or compiling it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::contract::{self, Fit};
use crate::limits::RuntimeLimits;
use crate::manifest::{self, Manifest};
use crate::refusal::Refusal;
use crate::scan::{self, Scan};

/// Interfaces that a plugin may export.
pub const EXPORTS: [&str; 15] = [
    "archipel:aaa/token-generator@0.1.0",
    "archipel:aaa/federation-identity@0.1.0",
    "archipel:aaa/authentication@0.1.0",
    "archipel:aaa/authorization@0.1.0",
    "archipel:aaa/federation-to-local-mapper@0.1.0",
    "archipel:cloud/compute@0.1.0",
    POWER,
    "archipel:cloud/volume@0.1.0",
    "archipel:cloud/network@0.1.0",
    "archipel:cloud/attachment@0.1.0",
    "archipel:cloud/quota@0.1.0",
    "archipel:cloud/spec@0.1.0",
    "archipel:cloud/image@0.1.0",
    SCENARIO,
    LIFECYCLE,
];

/// Power actions; which, the manifest says.
const POWER: &str = "archipel:cloud/compute-power@0.1.0";

/// A benchmark; it stands alone.
pub const SCENARIO: &str = "archipel:benchmark/scenario@0.1.0";

/// The optional life cycle.
pub const LIFECYCLE: &str = "archipel:plugin/lifecycle@0.1.0";

/// Interfaces that a plugin may import, up to the patch version. Types of its own exports (`archipel:aaa/types`)
/// arrive as imports too.
const IMPORTS: [&str; 6] = [
    "archipel:host/",
    "archipel:aaa/types@",
    "archipel:cloud/types@",
    "wasi:io/",
    "wasi:clocks/",
    "wasi:random/",
];
const IMPORTS_MORE: [&str; 5] =
    ["wasi:cli/", "wasi:http/types@", "wasi:http/outgoing-handler@", "wasi:filesystem/", BROKER];

/// What scenarios import, and no others.
const BROKER: &str = "archipel:benchmark/";

/// A file that may become a plugin: in order as far as one can see without compiling it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// `sha256:HEX` of the bytes.
    pub digest: String,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Names of imports and exports.
    pub scan: Scan,
}

impl Checked {
    /// Interfaces of Archipel that it exports.
    pub fn interfaces(&self) -> Vec<String> {
        self.scan.exports.iter().filter(|export| EXPORTS.contains(&export.as_str())).cloned().collect()
    }

    /// Whether it exports this interface.
    pub fn exports(&self, interface: &str) -> bool {
        self.scan.exports.iter().any(|export| export == interface)
    }
}

/// `sha256:HEX` of the bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Checks the bytes of a file, without compiling them.
///
/// # Errors
/// The first thing that keeps it from being a plugin.
pub fn check(bytes: &[u8], limits: &RuntimeLimits) -> Result<Checked, Refusal> {
    let scan = scan::scan(bytes, limits)?;
    let manifest = read_manifest(&scan)?;
    let checked = Checked { digest: digest(bytes), manifest, scan };
    check_world(&checked)?;
    check_contract(&contract::compare(bytes).unwrap_or_default())?;
    Ok(checked)
}

/// Differences that a refusal tells; `archipel plugin explain` tells all.
const TOLD: usize = 5;

/// Whether some version of the contract fits. Where none does, the one that nearly did is told.
fn check_contract(fits: &[Fit]) -> Result<(), Refusal> {
    let Some(nearest) = nearest_fit(fits) else { return Ok(()) };
    if nearest.differences.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = nearest.differences.iter().take(TOLD).map(ToString::to_string).collect();
    let mut text = told.join("; ");
    if let Some(more @ 1..) = nearest.differences.len().checked_sub(TOLD) {
        text.push_str(&format!("; and {more} more, see `archipel plugin explain`"));
    }
    Err(Refusal::Contract(text))
}

/// The version with the fewest differences.
pub(crate) fn nearest_fit(fits: &[Fit]) -> Option<&Fit> {
    fits.iter().min_by_key(|fit| fit.differences.len())
}

pub(crate) fn read_manifest(scan: &Scan) -> Result<Manifest, Refusal> {
    match scan.manifests.as_slice() {
        // A component of another world has no manifest either; its exports are the better thing to talk of.
        [] => Err(wrong_world(scan).unwrap_or(Refusal::NoManifest)),
        [one] => manifest::parse(one).map_err(Refusal::Manifest),
        many => Err(Refusal::ManyManifests(many.len())),
    }
}

fn wrong_world(scan: &Scan) -> Option<Refusal> {
    if scan.exports.iter().any(|export| EXPORTS.contains(&export.as_str()) && export != LIFECYCLE) {
        return None;
    }
    Some(Refusal::NoInterface { exports: scan.exports.clone(), nearest: nearest(&scan.exports) })
}

fn check_world(checked: &Checked) -> Result<(), Refusal> {
    if let Some(refusal) = wrong_world(&checked.scan) {
        return Err(refusal);
    }
    let is_scenario = checked.exports(SCENARIO);
    if is_scenario && checked.interfaces().len() > 1 {
        return Err(Refusal::Manifest(format!(
            "interfaces: {SCENARIO} stands alone, because it runs with nothing but the broker; make a plugin of its own of the rest"
        )));
    }
    let may = |import: &str| may_import(import) && (is_scenario || !import.starts_with(BROKER));
    let foreign: Vec<String> = checked.scan.imports.iter().filter(|import| !may(import)).cloned().collect();
    if !foreign.is_empty() {
        return Err(Refusal::Imports { imports: foreign });
    }
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let (exports, named) = (sorted(checked.interfaces()), sorted(checked.manifest.interfaces.clone()));
    if exports != named {
        return Err(Refusal::InterfacesDiffer { manifest: named, exports });
    }
    let undriven = exports.iter().find(|interface| {
        let kind = interface.strip_prefix("archipel:cloud/").and_then(|rest| rest.split('@').next());
        kind.is_some_and(|kind| {
            kind.parse::<archipel_model::order::Kind>().is_ok()
                && !checked.manifest.drivers.contains_key(kind)
        })
    });
    let acts = checked.manifest.drivers.get("compute").is_some_and(|driven| !driven.actions.is_empty());
    match undriven {
        None if acts == checked.exports(POWER) => Ok(()),
        None => Err(Refusal::Manifest(format!(
            "drivers.compute.actions: names power actions exactly where {POWER} is exported; write those that it has"
        ))),
        Some(interface) => Err(Refusal::Manifest(format!(
            "drivers: nothing says how {interface} creates; write \"drivers\": {{\"KIND\": {{\"create\": \"searchable\", \"settle_ms\": 5000}}}}"
        ))),
    }
}

fn may_import(import: &str) -> bool {
    IMPORTS.iter().chain(&IMPORTS_MORE).any(|known| import.starts_with(known))
}

/// The interface that an author of these exports may have meant.
fn nearest(exports: &[String]) -> Option<String> {
    exports
        .iter()
        .flat_map(|export| EXPORTS.iter().map(move |known| (distance(export, known), *known)))
        .filter(|(distance, known)| *distance * 3 < known.len())
        .min()
        .map(|(_, known)| known.to_owned())
}

/// Edit distance (Levenshtein), for names of some dozens of letters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().take(200).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&b) {
            let substituted = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            left = substituted.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Refusal {
        check(&wat::parse_str(text).unwrap(), &RuntimeLimits::default()).unwrap_err()
    }

    #[test]
    fn a_component_of_another_world_is_told_what_it_may_have_meant() {
        let refusal = check_text(
            r#"(component (instance $i) (export "archipel:aaa/authorisation@0.1.0" (instance $i)))"#,
        );
        assert_eq!(
            refusal.to_string(),
            "it exports archipel:aaa/authorisation@0.1.0, and no interface of Archipel; did you mean archipel:aaa/authorization@0.1.0?"
        );
        let refusal = check_text(r#"(component (instance $i) (export "wasi:cli/run@0.2.6" (instance $i)))"#);
        assert_eq!(refusal.to_string(), "it exports wasi:cli/run@0.2.6, and no interface of Archipel");
        assert_eq!(
            check_text("(component)").to_string(),
            "it exports nothing; name its interfaces in `archipel_sdk::export!`"
        );
    }

    #[test]
    fn a_plugin_without_a_manifest_is_refused() {
        let text = r#"(component (instance $i) (export "archipel:aaa/authorization@0.1.0" (instance $i)))"#;
        assert_eq!(check_text(text), Refusal::NoManifest);
    }

    #[test]
    fn sockets_are_refused_by_name() {
        let text = r#"(component (import "wasi:sockets/tcp@0.2.0" (instance)) (instance $i) (export "archipel:aaa/authorization@0.1.0" (instance $i))
            (@custom "archipel:manifest" "{\"name\":\"a\",\"version\":\"1\",\"sdk\":\"s\",\"wit\":\"0.1.0\",\"interfaces\":[\"archipel:aaa/authorization@0.1.0\"]}"))"#;
        assert!(check_text(text).to_string().contains("talk HTTP through wasi:http"));
    }

    #[test]
    fn distances_are_right() {
        for (a, b, expected) in
            [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
