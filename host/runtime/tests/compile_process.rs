//! Compiling in a process of its own. This test is its own compile process: started with the hidden argument it
//! compiles, as the daemon does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::process::ExitCode;

use archipel_model::plugin_admin::PluginState;
use archipel_runtime::{CHILD_ARG, Compiler};
use support::{ALLOW, AUTHZ, Started, authorization};

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
