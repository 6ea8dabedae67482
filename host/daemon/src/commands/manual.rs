//! Man pages and shell completions, made of the command line itself.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::output::{Answer, Failure, Outcome};

/// Writes a man page for the program and one for each command into a folder.
pub(crate) fn man(folder: &Path) -> Outcome {
    let failed =
        |error: std::io::Error| Failure::environment(format!("man pages into {}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(failed)?;
    Ok(Answer::Yes)
}

/// Prints a shell's completions.
pub(crate) fn completions(shell: Shell) -> Outcome {
    clap_complete::generate(shell, &mut Cli::command(), "archipel", &mut std::io::stdout());
    Ok(Answer::Yes)
}
