//! `archipel plugin explain`: what a file is, what it would be able to do, and what keeps it from serving, with what to do
//! about it. The directory refuses a plugin with the same words: both call [`check`](crate::explain::check).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::compile::Compiler;
use crate::contract::{self, Fit};
use crate::explain::{EXPORTS, check, digest, nearest_fit, read_manifest};
use crate::grants::Ability;
use crate::job::{Answer, Job, Work};
use crate::limits::RuntimeLimits;
use crate::manifest::Manifest;
use crate::scan;

/// What a file is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// `sha256:HEX`.
    pub digest: String,
    /// Its bytes.
    pub size: u64,
    /// Whether it may become a plugin.
    pub ok: bool,
    /// What keeps it from that.
    pub problem: Option<String>,
    /// What to build again, with what; where its contract is not ours.
    pub rebuild: Option<String>,
    /// Interfaces of Archipel that it exports.
    pub interfaces: Vec<String>,
    /// What it decides or does by these, in words.
    pub serves: Vec<String>,
    /// What else it exports.
    pub other_exports: Vec<String>,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it would be able to do if all that it asks for were granted; nothing beyond it.
    pub abilities: Vec<Ability>,
    /// How it fits each version of the contract that this host speaks.
    pub contracts: Vec<Fit>,
    /// What it says of itself.
    pub manifest: Option<Manifest>,
}

/// Explains the bytes of a file in the compile process: they may be anybody's.
pub async fn explain(compiler: &Compiler, bytes: Vec<u8>, limits: &RuntimeLimits) -> Explanation {
    let (of, size) = (digest(&bytes), bytes.len());
    let job = Job { limits: limits.clone(), work: Work::Explain, wasm: bytes.into() };
    let problem = match compiler.run(job).await {
        Ok((Answer::Explained(explanation), _)) => return *explanation,
        Ok(_) => "another question was answered".to_owned(),
        Err(refusal) => refusal.to_string(),
    };
    Explanation { problem: Some(problem), ..Explanation::nothing(of, size) }
}

/// The same, here and now.
pub(crate) fn explain_here(bytes: &[u8], limits: &RuntimeLimits) -> Explanation {
    let nothing = Explanation::nothing(digest(bytes), bytes.len());
    let checked = check(bytes, limits);
    let problem = checked.as_ref().err().map(ToString::to_string);
    // What is over the bounds is not looked into.
    let Ok(scan) = scan::scan(bytes, limits) else { return Explanation { problem, ..nothing } };
    let manifest = read_manifest(&scan).ok();
    let contracts = contract::compare(bytes).unwrap_or_default();
    let (interfaces, other_exports): (Vec<String>, Vec<String>) =
        scan.exports.into_iter().partition(|export| EXPORTS.contains(&export.as_str()));
    let abilities =
        manifest.as_ref().map(|manifest| manifest.capabilities.abilities(&[])).unwrap_or_default();
    Explanation {
        ok: problem.is_none(),
        problem,
        rebuild: rebuild(&contracts, manifest.as_ref()),
        serves: interfaces.iter().filter_map(|interface| serves(interface)).map(str::to_owned).collect(),
        interfaces,
        other_exports,
        imports: scan.imports,
        abilities,
        contracts,
        manifest,
        ..nothing
    }
}

impl Explanation {
    fn nothing(digest: String, size: usize) -> Self {
        Self {
            digest,
            size: u64::try_from(size).unwrap_or(u64::MAX),
            ok: false,
            problem: None,
            rebuild: None,
            interfaces: Vec::new(),
            serves: Vec::new(),
            other_exports: Vec::new(),
            imports: Vec::new(),
            abilities: Vec::new(),
            contracts: Vec::new(),
            manifest: None,
        }
    }
}

/// What to build again, and with what.
fn rebuild(contracts: &[Fit], manifest: Option<&Manifest>) -> Option<String> {
    let nearest = nearest_fit(contracts).filter(|fit| !fit.differences.is_empty())?;
    let version = &nearest.version;
    let made_by = manifest.map_or("something else", |manifest| manifest.sdk.as_str());
    Some(if made_by.starts_with("archipel-sdk") || manifest.is_none() {
        format!(
            "set archipel-sdk = \"{}\" in its Cargo.toml (it was built with {made_by}) and build it again: cargo build --release --target wasm32-wasip2",
            env!("CARGO_PKG_VERSION")
        )
    } else {
        format!(
            "generate its bindings from wit/ of archipel {version} again (it was made by {made_by}), and build it"
        )
    })
}

/// What an interface is for, for an administrator.
fn serves(interface: &str) -> Option<&'static str> {
    let name = interface.split_once('/')?.1.split('@').next()?;
    Some(match name {
        "token-generator" => "makes tokens of what people give at login",
        "federation-identity" => "says who the bearer of a token is",
        "authentication" => "judges whether a token is genuine",
        "authorization" => "decides what a user may do",
        "federation-to-local-mapper" => "decides which account of a cloud a user becomes, and logs in to it",
        "compute" => "makes and deletes virtual machines",
        "compute-power" => "stops, starts and pauses virtual machines",
        "volume" => "makes and deletes volumes",
        "network" => "makes and deletes networks",
        "attachment" => "attaches volumes to virtual machines",
        "quota" => "tells what an account may still use",
        "spec" => "tells which sizes of machines there are",
        "image" => "tells which images there are",
        "scenario" => "measures a cloud, by orders that it makes and deletes",
        "lifecycle" => "prepares itself before it is called, and refreshes what it knows",
        _ => return None,
    })
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({} bytes)", self.digest, self.size)?;
        if let Some(manifest) = &self.manifest {
            writeln!(
                f,
                "{} {}, made by {}, contract {}",
                manifest.name, manifest.version, manifest.sdk, manifest.wit
            )?;
        }
        list(f, "exports", &self.interfaces)?;
        list(f, "exports besides", &self.other_exports)?;
        list(f, "imports", &self.imports)?;
        list(f, "is asked to: it", &self.serves)?;
        if self.manifest.is_some() && self.abilities.is_empty() {
            writeln!(f, "asks for nothing: it only computes on what it is handed")?;
        } else if !self.abilities.is_empty() {
            writeln!(f, "would be able to, if all is granted")?;
            self.abilities.iter().try_for_each(|ability| writeln!(f, "  {ability}"))?;
        }
        for fit in &self.contracts {
            match fit.differences.len() {
                0 => writeln!(f, "fits the contract {}", fit.version)?,
                count => {
                    writeln!(f, "differs from the contract {} in {count}", fit.version)?;
                    fit.differences.iter().try_for_each(|difference| writeln!(f, "  {difference}"))?;
                }
            }
        }
        match &self.problem {
            None => writeln!(f, "in order as far as one can see without compiling it")?,
            Some(problem) => writeln!(f, "cannot serve: {problem}")?,
        }
        match &self.rebuild {
            None => Ok(()),
            Some(advice) => writeln!(f, "to do: {advice}"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, items: &[String]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}")?;
    items.iter().try_for_each(|item| writeln!(f, "  {item}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_component_without_a_manifest_is_explained_as_far_as_it_can_be() {
        let text = r#"(component (instance $i) (export "archipel:aaa/authorization@0.1.0" (instance $i)))"#;
        let bytes = wat::parse_str(text).unwrap();
        let explained = explain(&Compiler::InProcess, bytes, &RuntimeLimits::default()).await;
        assert!(!explained.ok);
        assert_eq!(explained.interfaces, ["archipel:aaa/authorization@0.1.0"]);
        assert_eq!(explained.serves, ["decides what a user may do"]);
        let shown = explained.to_string();
        assert!(shown.contains("cannot serve: it has no manifest"), "{shown}");
        let missing = "archipel:aaa/authorization.is-authorized: the function is missing";
        assert!(shown.contains(missing), "{shown}");
        assert!(explained.rebuild.unwrap().contains("wasm32-wasip2"));
    }

    #[test]
    fn every_interface_has_words() {
        assert!(EXPORTS.iter().all(|interface| serves(interface).is_some()));
    }
}
