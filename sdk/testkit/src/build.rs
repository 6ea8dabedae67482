//! The component of the crate under test.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::Error;

/// The sandbox's target.
const TARGET: &str = "wasm32-wasip2";

/// Builds the crate under test for the sandbox, as a release, and gives the component's path. Quick when nothing changed.
///
/// # Errors
/// [`Error::Build`] with what cargo says.
pub fn build() -> Result<PathBuf, Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .current_dir(folder)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !output.status.success() {
        return Err(Error::Build(said));
    }
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    let built = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| component(&message, &package))
        .next_back();
    built.ok_or_else(|| {
        Error::Build(format!("{package} makes no component; write crate-type = [\"cdylib\"]\n{said}"))
    })
}

/// The component of a message about the package.
fn component(message: &Value, package: &str) -> Option<PathBuf> {
    let name = message.get("target")?.get("name")?.as_str()?;
    let files = message.get("filenames")?.as_array()?;
    let file = files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm"))?;
    (name == package || name == package.replace('-', "_")).then(|| PathBuf::from(file))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_component_is_the_packages_own() {
        let message = |name: &str, file: &str| json!({"target": {"name": name}, "filenames": [file]});
        assert_eq!(
            component(&message("my_policy", "/t/my_policy.wasm"), "my-policy"),
            Some("/t/my_policy.wasm".into())
        );
        assert_eq!(component(&message("serde", "/t/libserde.rlib"), "my-policy"), None);
        assert_eq!(component(&message("other", "/t/other.wasm"), "my-policy"), None);
    }
}
