//! Compiling, in a process of its own: a 47 kB file can ask a compiler for 5 GiB, and no limit of size helps.
//!
//! The parent starts its own executable with [`CHILD_ARG`], writes the component to its standard input and reads the
//! machine code from its standard output. The child bounds its own address space and processor time before it reads a
//! byte; the parent bounds the wall clock. This bounds what compiling costs, not what a defect in the compiler could
//! do: the code that comes back is trusted.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::engine;
use crate::limits::{RuntimeLimits, to_usize};
use crate::refusal::Refusal;

/// The hidden subcommand of the daemon's executable that ends in [`child_main`].
pub const CHILD_ARG: &str = "__compile";

/// Who compiles.
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
    /// Compiles a component for the engine of this host.
    ///
    /// # Errors
    /// [`Refusal::Compile`].
    pub(crate) async fn compile(&self, wasm: Vec<u8>, limits: &RuntimeLimits) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Child { exe } => in_child(exe, &wasm, limits).await,
            Self::InProcess => {
                let limits = limits.clone();
                tokio::task::spawn_blocking(move || in_process(&wasm, &limits))
                    .await
                    .map_err(|error| Refusal::Compile(error.to_string()))?
            }
        }
    }
}

fn in_process(wasm: &[u8], limits: &RuntimeLimits) -> Result<Vec<u8>, Refusal> {
    let engine = engine::compiling(limits).map_err(|error| Refusal::Compile(format!("{error:#}")))?;
    engine.precompile_component(wasm).map_err(|error| Refusal::Compile(clean(&format!("{error:#}"))))
}

async fn in_child(exe: &PathBuf, wasm: &[u8], limits: &RuntimeLimits) -> Result<Vec<u8>, Refusal> {
    let failed = |error: std::io::Error| Refusal::Compile(format!("the compile process failed: {error}"));
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
        if let Some(mut stdin) = stdin {
            // A child that dies early closes the pipe; its exit says more than this error.
            let _ = stdin.write_all(wasm).await;
        }
    };
    let bound = limits.artefact_mib.saturating_mul(1 << 20);
    let read = read_bounded(stdout, bound.saturating_add(1));
    let complaints = read_bounded(stderr, 64 << 10);
    let work = async {
        let ((), artefact, complaint) = tokio::join!(write, read, complaints);
        (artefact, complaint, child.wait().await)
    };
    let wall = Duration::from_secs(limits.compile_wall_s);
    let Ok((artefact, complaint, status)) = tokio::time::timeout(wall, work).await else {
        return Err(Refusal::Compile(format!(
            "it took more than limits.plugins.compile_wall_s = {} seconds; make the plugin smaller, or raise the limit",
            limits.compile_wall_s
        )));
    };
    let (artefact, status) = (artefact.map_err(failed)?, status.map_err(failed)?);
    if !status.success() {
        let complaint = complaint.unwrap_or_default();
        return Err(Refusal::Compile(why(status, &String::from_utf8_lossy(&complaint), limits)));
    }
    if u64::try_from(artefact.len()).unwrap_or(u64::MAX) > bound {
        return Err(Refusal::Compile(format!(
            "its machine code is over limits.plugins.artefact_mib = {}",
            limits.artefact_mib
        )));
    }
    Ok(artefact)
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

/// What the daemon's hidden subcommand runs: `EXE __compile MEMORY_MIB CPU_S < component > machine code`.
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
    let (memory_mib, cpu_s) = (bound("MEMORY_MIB")?, bound("CPU_S")?);
    for (resource, limit) in [
        (Resource::As, memory_mib.saturating_mul(1 << 20)),
        (Resource::Cpu, cpu_s),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
            .map_err(|error| format!("cannot bound {resource:?}: {error}"))?;
    }
    let limits = RuntimeLimits::default();
    let mut wasm = Vec::new();
    let most = u64::try_from(to_usize(1 << 30)).unwrap_or(u64::MAX);
    std::io::stdin().take(most).read_to_end(&mut wasm).map_err(|error| error.to_string())?;
    let artefact = in_process(&wasm, &limits).map_err(|refusal| match refusal {
        Refusal::Compile(reason) => reason,
        other => other.to_string(),
    })?;
    std::io::stdout().write_all(&artefact).map_err(|error| error.to_string())
}
