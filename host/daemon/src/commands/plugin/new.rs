//! `plugin new`: a crate from a template. The templates are whole plugins; a test generates each, builds it for the sandbox and
//! runs its tests.

mod templates;

use std::fs;
use std::path::{Path, PathBuf};

use archipel_runtime::config::is_plugin_name;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::output::{Answer, Failure, Outcome, Printer};

/// The SDK of the sources that this program was built from.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk");

#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// Its name: lower-case letters, digits and hyphens, a letter first. The folder is called so too.
    name: String,

    /// What it is to be.
    #[arg(long, value_enum)]
    kind: PluginKind,

    /// The folder in which the crate's folder is made.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,

    /// The folder `sdk` of Archipel's sources, while the SDK is not on crates.io; the sources that this program was built from
    /// where it is left out.
    #[arg(long, value_name = "FOLDER", env = "ARCHIPEL_SDK")]
    sdk: Option<PathBuf>,
}

/// What a plugin can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PluginKind {
    /// Says what users may do.
    Authorization,
    /// Logs users in and says who they are.
    Identity,
    /// Says which account of a cloud a user becomes.
    Mapper,
    /// Drives a cloud.
    Cloud,
    /// Measures clouds.
    Benchmark,
}

pub(super) fn run(args: &NewArgs, printer: &Printer) -> Outcome {
    if !is_plugin_name(&args.name) {
        return Err(Failure::environment(format!(
            "{:?} is not a plugin's name; write lower-case letters, digits and hyphens, a letter first",
            args.name
        )));
    }
    let sdk = sdk(args.sdk.as_deref())?;
    let folder = args.folder.join(&args.name);
    if folder.exists() {
        return Err(Failure::environment(format!(
            "{} is there already; choose another name",
            folder.display()
        )));
    }
    let mut written = Vec::new();
    for (path, template) in templates::of(args.kind) {
        let file = folder.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, filled(template, &args.name, &sdk))?;
        written.push(file.display().to_string());
    }
    let text = format!(
        "wrote {}\n  cargo test                                        in it: builds the component and runs the contract tests\n  cargo build --release --target wasm32-wasip2      the component, to be dropped into a site as {}.wasm",
        folder.display(),
        args.name
    );
    printer.say(&text, &json!({"folder": folder, "files": written}));
    Ok(Answer::Yes)
}

/// The SDK's folder, absolute, because the crate may be anywhere.
fn sdk(given: Option<&Path>) -> Result<String, Failure> {
    let folder = given.unwrap_or(Path::new(BUILT_FROM));
    let found = folder.join("rust/Cargo.toml").is_file() && folder.join("testkit/Cargo.toml").is_file();
    match folder.canonicalize() {
        Ok(folder) if found => Ok(folder.display().to_string()),
        _ => Err(Failure::environment(format!(
            "{} is not the folder sdk of Archipel's sources; name it with --sdk or ARCHIPEL_SDK",
            folder.display()
        ))),
    }
}

/// A template with its names filled in.
fn filled(template: &str, name: &str, sdk: &str) -> String {
    template.replace("@@name@@", name).replace("@@crate@@", &name.replace('-', "_")).replace("@@sdk@@", sdk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crates_names_are_made_of_the_plugins() {
        assert_eq!(filled("@@name@@ @@crate@@ @@sdk@@", "night-shift", "/s"), "night-shift night_shift /s");
    }

    #[test]
    fn every_template_is_whole() {
        for kind in PluginKind::value_variants() {
            let files: Vec<&str> = templates::of(*kind).iter().map(|(path, _)| *path).collect();
            for needed in ["Cargo.toml", "src/lib.rs", "tests/contract.rs", "tests/case.json", "README.md"] {
                assert!(files.contains(&needed), "{kind:?} has no {needed}");
            }
        }
    }
}
