//! A site's telemetry through a collector that is up, to a file that keeps what came out behind it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use archipel_tests::telemetry::{Point, Received, Span, story};
use clap::Args;
use serde::Deserialize;

/// Where to send, and where it comes out.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The collector, as in `[telemetry] otlp`.
    #[arg(long)]
    endpoint: String,
    /// The file of what arrived: a JSON object a line.
    #[arg(long)]
    received: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Span(Span),
    Point(Point),
}

fn read(file: &Path) -> Result<Received> {
    let mut all = Received::default();
    // Before anything arrived there is no file.
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // What stands after the last end of a line is being written.
    for line in text.rsplit_once('\n').map_or("", |(whole, _)| whole).lines() {
        match serde_json::from_str(line)? {
            Line::Span(span) => all.spans.push(span),
            Line::Point(point) => all.points.push(point),
        }
    }
    Ok(all)
}

pub(crate) async fn run(options: &Options) -> Result<bool> {
    let said = story(&options.endpoint, || read(&options.received)).await?;
    println!("peer: a collector passed on {said}");
    Ok(true)
}
