//! `plugin install`: puts a plugin with its signature into the site's folder, from a file or from an OCI registry. The
//! daemon itself never fetches: whoever runs this decides, and the folder is the only door.
//!
//! Both are written beside and renamed in, the signature first, so that the daemon never reads half of either and never
//! sees a new component without the signature that belongs to it.

mod oci;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use archipel_runtime::config::is_plugin_name;
use archipel_runtime::signatures::Signed;
use serde_json::json;

use crate::cli::{DoorArgs, InstallArgs};
use crate::config::Config;
use crate::output::{Answer, Failure, Outcome, Printer};

/// Bytes of a signature's file.
const SIGNATURE_BYTES: u64 = 8 << 10;

/// A component and what came with it.
struct Fetched {
    /// The name that its source suggests.
    name: Option<String>,
    component: Vec<u8>,
    signature: Option<String>,
}

pub(super) async fn run(args: &InstallArgs, door: &DoorArgs, printer: &Printer) -> Outcome {
    let config = Config::load(&door.config)?;
    let most = config.limits.plugins.file_mib.saturating_mul(1 << 20);
    let mut fetched = match args.source.strip_prefix("oci://") {
        Some(reference) => {
            let authorities = oci::Authorities {
                given: args.ca.as_deref(),
                of_the_site: config.site.outgoing_ca.as_deref(),
            };
            oci::fetch(reference, most, authorities).await?
        }
        None => of_file(Path::new(&args.source), most)?,
    };
    if let Some(file) = &args.signature {
        fetched.signature = Some(text(file)?);
    }
    let name = args.name.clone().or(fetched.name).filter(|name| is_plugin_name(name)).ok_or_else(|| {
        Failure::environment("what should its name be? say --name NAME: lower-case letters, digits and hyphens, a letter first")
    })?;
    let explained = super::explain_bytes(fetched.component.clone(), &config.limits.plugins)
        .await
        .map_err(Failure::environment)?;
    let signed = Signed::judge(&fetched.component, fetched.signature.as_deref(), &config.runtime.signatures);
    let refused = match &explained.problem {
        Some(problem) => Some(problem.clone()),
        None => config
            .runtime
            .signatures
            .admits(&name, &explained.interfaces, &signed)
            .err()
            .map(|refusal| refusal.to_string()),
    };
    let by = signed.by(&config.runtime.signatures).map(|key| key.name.clone());
    let mut json =
        json!({"plugin": name, "digest": explained.digest, "signed_by": by, "installed": refused.is_none()});
    if let Some(reason) = refused {
        if let Some(object) = json.as_object_mut() {
            object.insert("problem".to_owned(), reason.clone().into());
        }
        printer.say(&format!("{name} is not installed: {reason}"), &json);
        return Ok(Answer::No);
    }
    let folder = &config.site.plugin_dir;
    let file = folder.join(format!("{name}.wasm"));
    let signature = folder.join(format!("{name}.wasm.minisig"));
    match &fetched.signature {
        Some(text) => write(&signature, text.as_bytes())?,
        // One of an older version would be wrong for this one.
        None if signature.exists() => std::fs::remove_file(&signature)?,
        None => {}
    }
    write(&file, &fetched.component)?;
    let signed =
        by.map_or_else(|| "not signed by a key of this site".to_owned(), |key| format!("signed by {key}"));
    let text = format!(
        "{} is installed ({}, {signed}); a running site takes it now. What it asks for: `archipel plugin grant {name}`",
        file.display(),
        explained.digest
    );
    printer.say(&text, &json);
    Ok(Answer::Yes)
}

fn of_file(path: &Path, most: u64) -> Result<Fetched, Failure> {
    let failed = |error: std::io::Error| Failure::environment(format!("{}: {error}", path.display()));
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > most {
        return Err(Failure::environment(format!(
            "{}: {size} bytes are more than limits.plugins.file_mib = {} allows",
            path.display(),
            most >> 20
        )));
    }
    let component = std::fs::read(path).map_err(failed)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".minisig");
    let beside = PathBuf::from(beside);
    let signature = if beside.exists() { Some(text(&beside)?) } else { None };
    let name = path.file_stem().and_then(|stem| stem.to_str()).map(plugin_name);
    Ok(Fetched { name, component, signature })
}

/// `my_mapper`, as cargo names the file, is the plugin `my-mapper`.
fn plugin_name(stem: &str) -> String {
    stem.replace('_', "-")
}

fn text(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::environment(format!("{}: {error}", path.display()));
    if std::fs::metadata(path).map_err(failed)?.len() > SIGNATURE_BYTES {
        return Err(Failure::environment(format!("{} is too long for a signature", path.display())));
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// Writes beside and renames in, durable before it is seen.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::environment(format!("{}: {error}", path.display()));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let draft = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&draft)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&draft, path));
    written.map_err(|error| {
        // A draft that cannot be taken away is a hidden file that nobody reads.
        let _ = std::fs::remove_file(&draft);
        failed(error)
    })
}
