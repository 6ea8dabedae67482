//! `cargo xtask test --peers NAME,...`: a site, and real software that talks to it. A peer is a folder `tests/peers/NAME`
//! with an executable `run`; it finds the site in `ARCHIPEL_*` variables (see `tests/src/bin/lab/with_site.rs`).

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::steps::{self, Step, last_line_with};
use crate::{demo, places, test};

/// Runs the named peers.
pub(crate) fn run(names: &[String]) -> Result<ExitCode> {
    let folder = places::workspace().join("tests/peers");
    let mut all = Vec::from(test::builds()?);
    for name in names {
        let script = folder.join(name).join("run");
        let is_name = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
        if !is_name || !script.is_file() {
            let known: Vec<String> = std::fs::read_dir(&folder)?
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            bail!("there is no peer {name:?}; there are: {}", known.join(", "));
        }
        let command = demo::lab(&["with-site", &script.display().to_string()])?;
        let step = Step::new(name.clone().leak(), command).needs(&["plugins", "host"]);
        all.push(step.note(|text| last_line_with(text, &["peer:"])));
    }
    steps::run(all)
}
