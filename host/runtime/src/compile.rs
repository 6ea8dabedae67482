//! Checking and compiling, in a process of its own: a 47 kB file can ask a compiler for 5 GiB and a validator for minutes,
//! and no limit of size helps.
//!
//! The parent starts its own executable with [`CHILD_ARG`], writes a [`Job`] to its standard input and reads the
//! [`Answer`] from its standard output. What bounds the child, before it reads a byte of the component:
//!
//! | bound | by |
//! |---|---|
//! | memory | `RLIMIT_AS` (`compile_memory_mib`) |
//! | processor | `RLIMIT_CPU` (`compile_cpu_s`) |
//! | time | the parent's clock (`compile_wall_s`) |
//! | network, files | `RLIMIT_NOFILE`: it has its three pipes and can open nothing more, no socket and no file; nor write one (`RLIMIT_FSIZE`) |
//! | rights | no environment, no core dump, `no_new_privs` |
//!
//! This bounds what checking, compiling and preparing cost, not what a defect in the compiler could do: the code that
//! comes back is native code, and it is trusted.

use std::io::Write;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wasmparser::Validator;

use crate::engine;
use crate::explain::{self, Checked};
use crate::explanation::explain_here;
use crate::job::{Answer, Done, Job, Start, Work};
use crate::limits::RuntimeLimits;
use crate::refusal::Refusal;
use crate::snapshot::{self, Prepared};

/// The hidden subcommand of the daemon's executable that ends in [`child_main`].
pub const CHILD_ARG: &str = "__compile";

/// Open files of the child: its three pipes.
const FILES: u64 = 3;
/// How much lower than the API's its priority is, and than that of plugins' threads.
const NICE: i32 = 10;
/// Bytes of an answer besides its machine code.
const TELLING: u64 = 64 << 20;

/// Who checks and compiles.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// This executable, started with [`CHILD_ARG`] and the bounds.
    Child {
        /// Usually [`std::env::current_exe`].
        exe: PathBuf,
    },
    /// This process: for tests, where there is no executable with the subcommand.
    InProcess,
}

impl Compiler {
    /// Checks and compiles a component for the engine of this host.
    ///
    /// # Errors
    /// What the component is refused for, or what the process took too much of.
    pub(crate) async fn run(&self, job: Job) -> Result<(Answer, Vec<u8>), Refusal> {
        match self {
            Self::Child { exe } => in_child(exe, &job).await,
            Self::InProcess => tokio::task::spawn_blocking(move || work(&job))
                .await
                .map_err(|error| Refusal::Compile(error.to_string())),
        }
    }

    /// Checks and compiles a component for the engine that counts fuel.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) async fn compile_metered(
        &self,
        wasm: Vec<u8>,
        limits: &RuntimeLimits,
    ) -> Result<(Checked, Vec<u8>), Refusal> {
        let job = Job { limits: limits.clone(), work: Work::Meter, wasm: wasm.into() };
        match self.run(job).await? {
            (Answer::Done(done), code) => Ok((done.checked, code)),
            (Answer::Refused(refusal), _) => Err(refusal),
            (Answer::Explained(_), _) => {
                Err(Refusal::Compile("the compile process answered something else".to_owned()))
            }
        }
    }
}

/// What the child does.
fn work(job: &Job) -> (Answer, Vec<u8>) {
    if job.work == Work::Explain {
        return (Answer::Explained(Box::new(explain_here(&job.wasm, &job.limits))), Vec::new());
    }
    match make(job) {
        Ok((done, code)) => (Answer::Done(Box::new(done)), code),
        Err(refusal) => (Answer::Refused(refusal), Vec::new()),
    }
}

fn make(job: &Job) -> Result<(Done, Vec<u8>), Refusal> {
    let checked = explain::check(&job.wasm, &job.limits)?;
    let prepares = checked.exports(explain::LIFECYCLE);
    let done = |start: Option<Start>, log: Vec<String>| Done { checked: checked.clone(), start, log };
    let plainly = |because: Option<String>| -> Result<(Done, Vec<u8>), Refusal> {
        let start = if prepares { Start::Prepares { because } } else { Start::Plain };
        Ok((done(Some(start), Vec::new()), compile(&job.wasm, &job.limits)?))
    };
    match &job.work {
        Work::Explain => Ok((done(None, Vec::new()), Vec::new())),
        // What it is compiled to depends on its configuration, which is not known here.
        Work::Load if prepares => {
            validate(&job.wasm)?;
            Ok((done(None, Vec::new()), Vec::new()))
        }
        Work::Load | Work::Compile => plainly(None),
        Work::Meter => {
            let engine = engine::metered(&job.limits);
            Ok((done(Some(Start::Plain), Vec::new()), compile_for(engine, &job.wasm)?))
        }
        Work::Prepare(preparation) => match snapshot::prepare(&job.wasm, preparation, &job.limits)? {
            Prepared::Plain { because } => plainly(Some(because)),
            Prepared::Snapshot { wasm, log } => match compile(&wasm, &job.limits) {
                Ok(code) => Ok((done(Some(Start::Snapshot), log), code)),
                Err(refusal) => plainly(Some(format!("its snapshot does not compile: {refusal}"))),
            },
        },
    }
}

/// As compiling would: what is damaged is told when it is dropped, not when a place first wants it.
fn validate(wasm: &[u8]) -> Result<(), Refusal> {
    let mut validator = Validator::new_with_features(engine::features());
    validator.validate_all(wasm).map(drop).map_err(|error| Refusal::Compile(clean(&error.to_string())))
}

fn compile(wasm: &[u8], limits: &RuntimeLimits) -> Result<Vec<u8>, Refusal> {
    compile_for(engine::compiling(limits), wasm)
}

fn compile_for(engine: wasmtime::Result<wasmtime::Engine>, wasm: &[u8]) -> Result<Vec<u8>, Refusal> {
    let engine = engine.map_err(|error| Refusal::Compile(format!("{error:#}")))?;
    engine.precompile_component(wasm).map_err(|error| Refusal::Compile(clean(&format!("{error:#}"))))
}

async fn in_child(exe: &PathBuf, job: &Job) -> Result<(Answer, Vec<u8>), Refusal> {
    let limits = &job.limits;
    let failed = |error: std::io::Error| Refusal::Compile(format!("the compile process failed: {error}"));
    let head = job.head().map_err(failed)?;
    let mut child = tokio::process::Command::new(exe)
        .arg(CHILD_ARG)
        .arg(limits.compile_memory_mib.to_string())
        .arg(limits.compile_cpu_s.to_string())
        .env_clear()
        // Each thread has its own arena of address space, which the bound counts.
        .env("RAYON_NUM_THREADS", "4")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        let Some(mut stdin) = stdin else { return };
        for part in std::iter::once(head.as_slice()).chain(job.parts()) {
            // A child that dies early closes the pipe; its exit says more than this error.
            if stdin.write_all(part).await.is_err() {
                return;
            }
        }
    };
    let bound = limits.artefact_mib.saturating_mul(1 << 20).saturating_add(TELLING);
    let read = read_bounded(stdout, bound.saturating_add(1));
    let complaints = read_bounded(stderr, 64 << 10);
    let work = async {
        let ((), told, complaint) = tokio::join!(write, read, complaints);
        (told, complaint, child.wait().await)
    };
    let wall = Duration::from_secs(limits.compile_wall_s);
    let Ok((told, complaint, status)) = tokio::time::timeout(wall, work).await else {
        return Err(Refusal::Compile(format!(
            "it took more than limits.plugins.compile_wall_s = {} seconds; make the plugin smaller, or raise the limit",
            limits.compile_wall_s
        )));
    };
    let (told, status) = (told.map_err(failed)?, status.map_err(failed)?);
    if !status.success() {
        let complaint = complaint.unwrap_or_default();
        return Err(Refusal::Compile(why(status, &String::from_utf8_lossy(&complaint), limits)));
    }
    if u64::try_from(told.len()).unwrap_or(u64::MAX) > bound {
        return Err(Refusal::Compile(format!(
            "its machine code is over limits.plugins.artefact_mib = {}",
            limits.artefact_mib
        )));
    }
    Answer::read(&told).map_err(failed)
}

async fn read_bounded(
    from: Option<impl tokio::io::AsyncRead + Unpin>,
    bound: u64,
) -> std::io::Result<Vec<u8>> {
    let mut into = Vec::new();
    if let Some(from) = from {
        let mut from = from.take(bound);
        from.read_to_end(&mut into).await?;
        // Let the child write on, so that its exit status can be had.
        tokio::io::copy(&mut from.into_inner(), &mut tokio::io::sink()).await?;
    }
    Ok(into)
}

fn why(status: std::process::ExitStatus, complaint: &str, limits: &RuntimeLimits) -> String {
    use std::os::unix::process::ExitStatusExt;
    const SIGABRT: i32 = 6;
    const SIGKILL: i32 = 9;
    const SIGXCPU: i32 = 24;
    match (status.code(), status.signal()) {
        (Some(1), _) => clean(complaint),
        (_, Some(SIGXCPU | SIGKILL)) => format!(
            "it took more than limits.plugins.compile_cpu_s = {} seconds of processor time; make the plugin smaller, or raise the limit",
            limits.compile_cpu_s
        ),
        (_, Some(SIGABRT)) if complaint.contains("memory allocation") => format!(
            "it needs more than limits.plugins.compile_memory_mib = {}; make the plugin smaller, or raise the limit",
            limits.compile_memory_mib
        ),
        _ => format!("the compile process ended with {status}: {}", clean(complaint)),
    }
}

fn clean(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(1_000).collect()
}

/// What the daemon's hidden subcommand runs: `EXE __compile MEMORY_MIB CPU_S < job > answer`.
pub fn child_main() -> ExitCode {
    match child() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = writeln!(std::io::stderr(), "{reason}");
            ExitCode::from(1)
        }
    }
}

fn child() -> Result<(), String> {
    let mut bounds =
        std::env::args().skip_while(|arg| arg != CHILD_ARG).skip(1).map(|arg| arg.parse::<u64>());
    let mut bound = |name: &str| match bounds.next() {
        Some(Ok(value)) => Ok(value),
        _ => Err(format!("{name} is missing; this subcommand is for the daemon's own use")),
    };
    confine(bound("MEMORY_MIB")?, bound("CPU_S")?)?;
    // Nobody waits for a new version as calls of the old one are waited for.
    let _ = rustix::process::nice(NICE);
    let job = Job::read(std::io::stdin().lock()).map_err(|error| error.to_string())?;
    let (answer, code) = work(&job);
    answer.write(std::io::stdout().lock(), &code).map_err(|error| error.to_string())
}

/// Takes from this process whatever it does not need.
fn confine(memory_mib: u64, cpu_s: u64) -> Result<(), String> {
    for (resource, limit) in [
        (Resource::As, memory_mib.saturating_mul(1 << 20)),
        (Resource::Cpu, cpu_s),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, FILES),
    ] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
            .map_err(|error| format!("cannot bound {resource:?}: {error}"))?;
    }
    rustix::thread::set_no_new_privs(true).map_err(|error| format!("cannot give up privileges: {error}"))
}
