//! `plugin embed`: the manifest of a component that no `export!` wrote, put where the host looks for it.

use std::path::PathBuf;

use archipel_runtime::{RuntimeLimits, manifest};
use clap::Args;
use serde_json::json;

use crate::output::{Answer, Failure, Outcome, Printer};

#[derive(Debug, Args)]
pub(crate) struct EmbedArgs {
    /// The component, as its compiler made it.
    file: PathBuf,

    /// The manifest (JSON): name, version, sdk, wit, interfaces, and what it asks for.
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,

    /// Where the plugin is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) async fn run(args: &EmbedArgs, printer: &Printer) -> Outcome {
    let component = super::read(&args.file)?;
    let text = super::read(&args.manifest)?;
    let wrong = |what: String| Failure::environment(format!("{}: {what}", args.manifest.display()));
    manifest::parse(&text).map_err(wrong)?;
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let plugin = manifest::embed(&component, value.to_string().as_bytes());
    let explained = super::explain_bytes(plugin.clone(), &RuntimeLimits::default())
        .await
        .map_err(Failure::environment)?;
    if let Some(problem) = explained.problem {
        printer.say(&format!("it would be no plugin: {problem}"), &json!({"ok": false, "problem": problem}));
        return Ok(Answer::No);
    }
    std::fs::write(&args.out, plugin)?;
    let text = format!("{} serves {}", args.out.display(), explained.interfaces.join(", "));
    printer.say(&text, &json!({"ok": true, "file": args.out, "digest": explained.digest}));
    Ok(Answer::Yes)
}
