//! Run your plugin in the real runtime from `cargo test`, without compiling one: this crate drives the `archipel` that is
//! installed (`ARCHIPEL_BIN`, else `archipel` on the `PATH`).
//!
//! ```no_run
//! use archipel_testkit::{Archipel, Site};
//!
//! # fn main() -> Result<(), archipel_testkit::Error> {
//! let archipel = Archipel::find()?;
//! let component = "target/wasm32-wasip2/release/my_policy.wasm";
//! assert_eq!(archipel.check(component)?["ok"], true);
//!
//! let site = Site::new(archipel, r#"
//!     [site]
//!     id = "site-a.example.org"
//!     listen = "127.0.0.1:0"
//!     [[authorization]]
//!     plugin = "my-policy"
//! "#)?;
//! site.drop_plugin("my-policy", component)?;
//! let running = site.serve()?;
//! assert_eq!(running.plugin("my-policy")?["state"], "live");
//! # Ok(()) }
//! ```
//!
//! What is told is what an administrator is told: every answer is the JSON of an `archipel` command.
//!
//! # Without a site
//!
//! [`Archipel::bench`] puts one plugin on the workbench: the real runtime, a clock that is turned by hand, random numbers that
//! repeat, HTTP from a recording. [`Bench::contract`] runs the contract tests of its interfaces, [`Bench::call`] one function.
//!
//! ```no_run
//! use archipel_testkit::{Archipel, Error};
//! use serde_json::json;
//!
//! # fn main() -> Result<(), Error> {
//! let mut bench = Archipel::find()?.bench(archipel_testkit::build()?, "tests/case.json")?;
//! bench.contract()?;
//! let decision = bench.call("authorization.is-authorized", json!({"operation": "create"}))?;
//! assert_eq!(decision["allow"], true);
//! # Ok(()) }
//! ```

mod bench;
mod build;
mod running;
mod site;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub use bench::Bench;
pub use build::build;
pub use running::Running;
pub use site::Site;

/// Why a test could not go on. A test that returns it shows its words as they are.
#[derive(thiserror::Error)]
pub enum Error {
    /// There is no `archipel` to drive.
    #[error("{0:?} cannot be started: {1}; install archipel, or set ARCHIPEL_BIN to it")]
    NoArchipel(PathBuf, std::io::Error),
    /// A command could not do its work.
    #[error("`archipel {command}` failed: {text}")]
    Command {
        /// Its arguments.
        command: String,
        /// What it said.
        text: String,
    },
    /// The site did not become ready.
    #[error("the site did not become ready; its log ends with:\n{0}")]
    NotReady(String),
    /// The component was not built.
    #[error("the component was not built:\n{0}")]
    Build(String),
    /// No site would take the component.
    #[error("no site takes this component: {0}")]
    Refused(String),
    /// The workbench cannot do it.
    #[error("the workbench: {0}")]
    Bench(String),
    /// The contract does not hold.
    #[error("the contract does not hold:\n{0}")]
    Contract(String),
    /// The plugin's own typed error.
    #[error("{kind}: {message}")]
    Plugin {
        /// `invalid`, `unauthenticated`, `forbidden`, `not-found`, `conflict`, `quota-exceeded`, `unsupported`, `transient`
        /// or `permanent`.
        kind: String,
        /// For a person.
        message: String,
        /// Whether the cloud may have acted: `no`, `unknown` or `yes`.
        applied: String,
    },
    /// The machine refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl Error {
    pub(crate) fn plugin(error: &Value) -> Self {
        let word = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self::Plugin { kind: word("kind"), message: word("message"), applied: word("applied") }
    }
}

/// The installed program.
#[derive(Clone, Debug)]
pub struct Archipel {
    program: PathBuf,
}

impl Archipel {
    /// `ARCHIPEL_BIN`, else `archipel` on the `PATH`.
    ///
    /// # Errors
    /// [`Error::NoArchipel`] when it does not start.
    pub fn find() -> Result<Self, Error> {
        Self::at(std::env::var_os("ARCHIPEL_BIN").map_or_else(|| PathBuf::from("archipel"), PathBuf::from))
    }

    /// The program at this path.
    ///
    /// # Errors
    /// [`Error::NoArchipel`] when it does not start.
    pub fn at(program: impl Into<PathBuf>) -> Result<Self, Error> {
        let program = program.into();
        match Command::new(&program).arg("--version").output() {
            Ok(_) => Ok(Self { program }),
            Err(error) => Err(Error::NoArchipel(program, error)),
        }
    }

    /// `archipel plugin check`: whether the host takes a component, without running it. `ok` says so, `problem` why not.
    ///
    /// # Errors
    /// [`Error::Command`] when the file cannot be read.
    pub fn check(&self, component: impl AsRef<Path>) -> Result<Value, Error> {
        self.json(["plugin".as_ref(), "check".as_ref(), component.as_ref().as_os_str()])
    }

    /// Any command, its answer as JSON. A command that answers *no* (exit code 1) has answered; one that could not be
    /// carried out (exit code 2) has not.
    ///
    /// # Errors
    /// [`Error::Command`].
    pub fn json<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Value, Error> {
        let mut command = self.command();
        command.args(["--output", "json"]).args(arguments);
        let output = command.output()?;
        let answer = serde_json::from_slice(&output.stdout);
        match (output.status.code(), answer) {
            (Some(0 | 1), Ok(answer)) => Ok(answer),
            _ => Err(Error::Command {
                command: command.get_args().map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" "),
                text: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned(),
            }),
        }
    }

    fn command(&self) -> Command {
        Command::new(&self.program)
    }
}
