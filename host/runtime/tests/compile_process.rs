//! Compiling in a process of its own. This test is its own compile process: started with the hidden argument it
//! compiles, as the daemon does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::process::ExitCode;

use archipel_model::plugin_admin::PluginState;
use archipel_runtime::{CHILD_ARG, Compiler};
use support::{ALLOW, AUTHZ, Started, authorization, prepared};

fn main() -> ExitCode {
    if std::env::args().any(|arg| arg == CHILD_ARG) {
        return archipel_runtime::compile_child_main();
    }
    // `cargo test -- --list` and the like.
    if std::env::args().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        what_the_process_makes_runs_in_the_pooled_engine().await;
        println!("what_the_process_makes_runs_in_the_pooled_engine ... ok");
        what_does_not_validate_is_told_in_the_compilers_words().await;
        println!("what_does_not_validate_is_told_in_the_compilers_words ... ok");
        a_compiler_that_needs_too_much_is_stopped().await;
        println!("a_compiler_that_needs_too_much_is_stopped ... ok");
        a_snapshot_is_made_in_the_process().await;
        println!("a_snapshot_is_made_in_the_process ... ok");
        the_process_can_open_nothing();
        println!("the_process_can_open_nothing ... ok");
    });
    ExitCode::SUCCESS
}

async fn started(files: &[(&str, &[u8])], config: &str) -> Started {
    let exe = std::env::current_exe().unwrap();
    Started::with(files, config, |options| options.compiler = Compiler::Child { exe }).await
}

async fn what_the_process_makes_runs_in_the_pooled_engine() {
    let site = started(&[("authz.wasm", &authorization(0, ALLOW))], AUTHZ).await;
    assert!(site.runtime.engine().pooling, "{:?}", site.runtime.engine());
    assert!(site.authorize().await.is_ok());
}

async fn what_does_not_validate_is_told_in_the_compilers_words() {
    // The body is made to leave nothing where an address must be: its constant becomes three `nop`s.
    let mut wrong = authorization(0, "nop nop nop nop nop (i32.const 64)");
    let body = [1, 1, 1, 1, 1, 0x41, 0xc0, 0x00];
    let at = wrong.windows(8).position(|window| window == body).expect("the body");
    wrong[at..at + 8].fill(1);
    let site = started(&[("authz.wasm", &wrong)], AUTHZ).await;
    let error = site.error("authz");
    assert!(error.starts_with("it cannot be compiled:") && error.contains("type mismatch"), "{error}");
}

async fn a_compiler_that_needs_too_much_is_stopped() {
    let plugin = authorization(0, ALLOW);
    let site =
        started(&[("authz.wasm", &plugin)], &format!("{AUTHZ}[limits]\ncompile_memory_mib = 16\n")).await;
    assert_eq!(site.status("authz").state, PluginState::Rejected);
    let site = started(&[("authz.wasm", &plugin)], &format!("{AUTHZ}[limits]\ncompile_wall_s = 0\n")).await;
    assert!(site.error("authz").contains("limits.plugins.compile_wall_s = 0"), "{}", site.error("authz"));
}

async fn a_snapshot_is_made_in_the_process() {
    let counts = "(i64.load32_u (i32.const 200))";
    let site = started(&[("authz.wasm", &prepared("", counts))], AUTHZ).await;
    assert_eq!(site.status("authz").start, "fresh, from a snapshot, compiled now");
    assert_eq!(site.told().await, 1);
}

/// As the kernel sees it: it has its pipes, and may have no further file or socket.
fn the_process_can_open_nothing() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([CHILD_ARG, "4096", "120"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let of = |what: &str| std::fs::read_to_string(format!("/proc/{}/{what}", child.id())).unwrap_or_default();
    let line = |text: String, name: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.trim_start_matches(name).split_whitespace().map(str::to_owned).collect()
    };
    let waits = std::time::Instant::now();
    while line(of("status"), "NoNewPrivs:") != ["1"] {
        assert!(waits.elapsed().as_secs() < 30, "it never confined itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(line(of("limits"), "Max open files"), ["3", "3", "files"]);
    assert_eq!(line(of("limits"), "Max file size"), ["0", "0", "bytes"]);
    assert_eq!(line(of("limits"), "Max cpu time"), ["120", "120", "seconds"]);
    for open in std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap() {
        let target = std::fs::read_link(open.unwrap().path()).unwrap();
        assert!(!target.to_string_lossy().starts_with("socket:"), "{}", target.display());
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
