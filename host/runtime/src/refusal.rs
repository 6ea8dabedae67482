//! Why a file does not become a plugin that serves, in words that say what to do.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// A plugin that cannot be used. The texts are part of the interface: tests pin them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The name is not `[a-z][a-z0-9-]{0,62}.wasm`.
    #[error(
        "{0:?} is not a plugin's name; rename the file to lower-case letters, digits and hyphens, a letter first, ending in .wasm"
    )]
    Name(String),
    /// A link, a folder, a device.
    #[error("not a regular file; copy the component itself into the folder, links are not followed")]
    NotAFile,
    /// Others may write the file.
    #[error("others may write this file (mode {0:o}); take that right away with chmod go-w")]
    Writable(u32),
    /// It has other names, under which it could be changed.
    #[error(
        "the file has {0} names (hard links); copy it instead, so that nobody changes it under another name"
    )]
    Linked(u64),
    /// Over `limits.file_mib`.
    #[error(
        "{size} bytes are more than limits.plugins.file_mib = {limit_mib} allows; build it with the profile `plugin`, or raise the limit"
    )]
    TooLarge {
        /// Its bytes.
        size: u64,
        /// The limit.
        limit_mib: u64,
    },
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Nothing in it.
    #[error("the file is empty; copy it again, to another name first, and rename it when it is complete")]
    Empty,
    /// WebAssembly text.
    #[error(
        "this is WebAssembly text; build a component in the binary format: cargo build --target wasm32-wasip2"
    )]
    Text,
    /// A core module.
    #[error(
        "this is a core module, not a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Machine code made by somebody else.
    #[error(
        "this is precompiled machine code, which is never accepted; drop the .wasm that it was made from"
    )]
    Precompiled,
    /// Something else.
    #[error("this is not WebAssembly; drop a component built for wasm32-wasip2")]
    NotWasm,
    /// Ends in the middle.
    #[error(
        "the file ends early, at byte {0}; copy it again, to another name first, and rename it when it is complete"
    )]
    Truncated(u64),
    /// Does not parse.
    #[error("malformed at byte {offset}: {message}; build it again")]
    Malformed {
        /// Where.
        offset: u64,
        /// What the parser says.
        message: String,
    },
    /// Over one of the limits of structure.
    #[error(
        "{count} {what} are more than limits.plugins.{limit} = {allowed} allows; make the plugin smaller, or raise the limit"
    )]
    Exceeds {
        /// What there is too much of.
        what: Cow<'static, str>,
        /// How much there is (so far).
        count: u64,
        /// Name of the limit.
        limit: Cow<'static, str>,
        /// Its value.
        allowed: u64,
    },
    /// No section `archipel:manifest`.
    #[error(
        "it has no manifest; use `archipel_sdk::export!`, or `archipel plugin embed` for other languages"
    )]
    NoManifest,
    /// Several that differ.
    #[error("it has {0} manifests that differ; keep one section archipel:manifest")]
    ManyManifests(usize),
    /// A manifest that cannot be used.
    #[error("its manifest cannot be used: {0}")]
    Manifest(String),
    /// It exports nothing of ours.
    #[error("{}", no_interface(.exports, .nearest))]
    NoInterface {
        /// What it exports.
        exports: Vec<String>,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// The manifest names other interfaces than the component exports.
    #[error("its manifest names {manifest:?} but it exports {exports:?}; build it again")]
    InterfacesDiffer {
        /// By the manifest.
        manifest: Vec<String>,
        /// By the component.
        exports: Vec<String>,
    },
    /// It imports what no plugin gets.
    #[error("it imports {}, which no plugin gets; {}", .imports.join(", "), import_advice(.imports))]
    Imports {
        /// All of them.
        imports: Vec<String>,
    },
    /// The compiler refuses it, or took too much.
    #[error("it cannot be compiled: {0}")]
    Compile(String),
    /// An export or import has another type than the contract says.
    #[error("it does not fit the contract archipel 0.1.0: {0}; build it with the SDK of this release")]
    Contract(String),
    /// The site file uses it for an interface that it does not export.
    #[error("{binding} needs {interface}, which it does not export; it exports {}", .exports.join(", "))]
    MissingInterface {
        /// Where the site file uses it.
        binding: String,
        /// What is needed.
        interface: String,
        /// What there is.
        exports: Vec<String>,
    },
    /// Its configuration does not fit its schema.
    #[error("the configuration of {binding} is wrong: {}", .problems.join("; "))]
    Config {
        /// Where.
        binding: String,
        /// Each with its path.
        problems: Vec<String>,
    },
    /// The administrator has not granted what it asks for.
    #[error(
        "{binding} asks for more than is granted{}; if you trust it, put this into the site file:\n{lines}",
        upgrade(.beside)
    )]
    NotGranted {
        /// Where.
        binding: String,
        /// What it asks for beside the version that serves, where one does.
        beside: Option<String>,
        /// The exact lines.
        lines: String,
    },
    /// The grant is pinned to other bytes.
    #[error(
        "the grant of {plugin} is pinned and does not list these bytes; if you trust them, write accept = [\"{digest}\"] under [grants.{plugin}]"
    )]
    Pinned {
        /// The plugin.
        plugin: String,
        /// `sha256:...`.
        digest: String,
    },
    /// The files of its granted folders are new, and it cannot be prepared with them.
    #[error(
        "the files of its granted folders cannot be used, and it serves on with those before: {0}; mend them, then `archipel plugin reload`"
    )]
    Folders(String),
    /// It asks for more than the versions that served before, though not for more than is granted.
    #[error(
        "{beside}, which the versions that served before did not; the grant has room for it, but such a version waits for you: if you trust it, write accept = [\"{digest}\"] under [grants.{plugin}] (archipel plugin grant {plugin} --accept --write)"
    )]
    Wider {
        /// The plugin.
        plugin: String,
        /// `sha256:...`.
        digest: String,
        /// What it asks for beside them.
        beside: String,
    },
    /// The grant is pinned to a key, and it is not signed by that.
    #[error(
        "the grant of {plugin} is pinned to key {id:?}, and {how}; sign it with that key, or change the pin under [grants.{plugin}]"
    )]
    PinnedKey {
        /// The plugin.
        plugin: String,
        /// As the pin says.
        id: String,
        /// What is the case.
        how: String,
    },
    /// Its signature is wrong, whether or not one is required.
    #[error("its signature is wrong: {reason}; sign these bytes again, or take {plugin}.wasm.minisig away")]
    Signature {
        /// The plugin.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// It must be signed, and is not by a key that counts.
    #[error(
        "[signatures] requires that {interface} is signed, and {how}; sign it with minisign (keys that count: {keys}) and put NAME.wasm.minisig beside it"
    )]
    Unsigned {
        /// The interface that it exports.
        interface: String,
        /// What is the case.
        how: String,
        /// Names of keys that may vouch for it.
        keys: String,
    },
    /// It failed its trial.
    #[error("it failed its trial: {0}")]
    Trial(String),
}

fn upgrade(beside: &Option<String>) -> String {
    beside.as_ref().map_or_else(String::new, |diff| format!(" (beside the version that serves on, {diff})"))
}

fn no_interface(exports: &[String], nearest: &Option<String>) -> String {
    let mut text = if exports.is_empty() {
        "it exports nothing; name its interfaces in `archipel_sdk::export!`".to_owned()
    } else {
        format!("it exports {}, and no interface of Archipel", exports.join(", "))
    };
    if let Some(nearest) = nearest {
        let _ = write!(text, "; did you mean {nearest}?");
    }
    text
}

fn import_advice(imports: &[String]) -> &'static str {
    if imports.iter().any(|import| import.starts_with("wasi:sockets")) {
        "talk HTTP through wasi:http, sockets are closed"
    } else if imports.iter().any(|import| import.starts_with("archipel:")) {
        "build it with the SDK of this release"
    } else {
        "see wit/plugin.wit for what there is"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_say_what_to_do() {
        assert_eq!(
            Refusal::CoreModule.to_string(),
            "this is a core module, not a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
        );
        assert_eq!(
            Refusal::NoInterface { exports: vec!["wasi:cli/run@0.2.6".into()], nearest: None }.to_string(),
            "it exports wasi:cli/run@0.2.6, and no interface of Archipel"
        );
        assert_eq!(
            Refusal::Exceeds { what: "core modules".into(), count: 65, limit: "modules".into(), allowed: 64 }
                .to_string(),
            "65 core modules are more than limits.plugins.modules = 64 allows; make the plugin smaller, or raise the limit"
        );
        assert!(
            Refusal::Imports { imports: vec!["wasi:sockets/tcp@0.2.0".into()] }
                .to_string()
                .ends_with("sockets are closed")
        );
    }
}
