//! Calls over standard input and output: a line of JSON asks, a line answers.
//!
//! ```text
//! > {"call": "authorization.is-authorized", "with": {"operation": "create"}}
//! < {"ok": {"allow": true, "reach": "own", ...}}
//! > {"call": "mapper.get-token", "with": {"account": "x"}}
//! < {"error": {"kind": "unsupported", "message": "...", "applied": "no", ...}}
//! > {"call": "no.such"}
//! < {"misuse": "there is no interface \"no\""}
//! ```
//! The first line that it writes is `{"ready": {...}}`. It ends with its input.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};

use crate::bench::{Workbench, WorkbenchError};
use crate::call::{Calls, Failed};
use crate::shown;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    call: String,
    #[serde(default)]
    with: Map<String, Value>,
}

/// Answers until there are no more questions.
///
/// # Errors
/// When the other end is gone, or a recording cannot be written.
pub async fn serve(
    bench: Workbench,
    input: impl AsyncBufRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> Result<(), WorkbenchError> {
    let gone = |error: std::io::Error| WorkbenchError::Machine(error.to_string());
    let bench = Arc::new(bench);
    let ready = json!({"ready": {"plugin": bench.name, "interfaces": bench.interfaces}});
    write(&mut output, &ready).await.map_err(gone)?;
    let calls = Calls::new(Arc::clone(&bench));
    let mut lines = input.lines();
    while let Some(line) = lines.next_line().await.map_err(gone)? {
        if line.trim().is_empty() {
            continue;
        }
        let answer = match serde_json::from_str::<Asked>(&line) {
            Err(error) => json!({"misuse": format!("not a call: {error}")}),
            Ok(asked) => match calls.call(&asked.call, &asked.with).await {
                Ok(value) => json!({"ok": value}),
                Err(Failed::Plugin(error)) => json!({"error": shown::error(&error)}),
                Err(Failed::Misuse(text)) => json!({"misuse": text}),
            },
        };
        write(&mut output, &answer).await.map_err(gone)?;
    }
    drop(calls);
    match Arc::try_unwrap(bench) {
        Ok(bench) => bench.stop().await,
        // Nobody else holds it once the calls are gone.
        Err(_) => Ok(()),
    }
}

async fn write(output: &mut (impl AsyncWrite + Unpin), line: &Value) -> std::io::Result<()> {
    output.write_all(format!("{line}\n").as_bytes()).await?;
    output.flush().await
}
