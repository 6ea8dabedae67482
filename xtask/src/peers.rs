//! `cargo xtask test --peers NAME,...`: real software against a real site. A peer is a folder `tests/peers/NAME` with an
//! executable `run`, which does everything: it installs and starts what it needs, and hands over to `archipel-lab`, the
//! path of which is in `ARCHIPEL_LAB`. It ends with 0 if all was as it must be; its last line with `peer:` goes into the
//! table. What it started it ends, also when it fails or is interrupted.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::steps::{self, Step, last_line_with};
use crate::{places, test};

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
                .filter(|entry| entry.path().join("run").is_file())
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            bail!("there is no peer {name:?}; there are: {}", known.join(", "));
        }
        let mut command = Command::new(script);
        command.current_dir(places::workspace()).env("ARCHIPEL_LAB", places::binary("archipel-lab")?);
        let step = Step::new(name.clone().leak(), command).needs(&["plugins", "host"]);
        all.push(step.note(|text| last_line_with(text, &["peer:"])));
    }
    steps::run(all)
}
