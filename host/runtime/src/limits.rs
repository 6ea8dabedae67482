//! Every bound of the sandbox: its name in `[limits]`, its default, and what it protects from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:literal,)+) => {
        /// The bounds of the sandbox, as in the table `[limits]` of the site file.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct RuntimeLimits {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for RuntimeLimits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl RuntimeLimits {
            /// Name, default and meaning of every bound, for `doctor` and the documentation.
            pub const TABLE: &'static [(&'static str, u64, &'static str)] =
                &[$((stringify!($name), $default, concat!($($doc),+)),)+];
        }
    };
}

limits! {
    /// Milliseconds for an AAA call of a plugin without hosts: a login must not hang on a loop.
    aaa_deadline_ms: u64 = 250,
    /// Milliseconds for an AAA call of a plugin that may use the network, and for logins.
    aaa_network_deadline_ms: u64 = 5_000,
    /// Milliseconds for a driver's call: a cloud that hangs must give its slot back.
    driver_deadline_ms: u64 = 60_000,
    /// Milliseconds for `lifecycle` and for the trial before a plugin goes live.
    lifecycle_deadline_ms: u64 = 30_000,
    /// MiB of linear memory of one instance: a memory bomb ends at its own wall.
    memory_mib: u64 = 64,
    /// Elements of one table: tables are host memory.
    table_elements: u64 = 20_000,
    /// Handles that one instance may hold: each is host memory.
    handles: u64 = 1_000,
    /// KiB that one call may hand to the host in arguments and results: lists are copied into host memory.
    hostcall_kib: u64 = 16_384,
    /// KiB of stack inside the sandbox: recursion ends in a trap, not in the host's stack.
    wasm_stack_kib: u64 = 512,
    /// Items of one list in an answer.
    answer_items: u64 = 10_000,
    /// AAA calls at a time over all plugins; their slots are reserved, so that slow clouds cannot starve logins. 0 = as many as
    /// the site's plugins make (64 to 512).
    aaa_slots: u64 = 0,
    /// AAA calls at a time of one binding, so that one plugin cannot take all of `aaa_slots`.
    aaa_concurrency: u64 = 32,
    /// Driver instances at a time over all clouds, idle ones too. 0 = twice what the `concurrency` of all clouds adds up to (64 to
    /// 2048), because an old version ends its calls beside a new one.
    driver_slots: u64 = 0,
    /// Idle driver instances kept per binding.
    driver_idle: u64 = 2,
    /// Calls after which a driver's instance is retired: guests leak.
    driver_calls: u64 = 256,
    /// Seconds after which a driver's instance is retired.
    driver_age_s: u64 = 600,
    /// Threads for plugins; 0 = as many as there are processors.
    plugin_threads: u64 = 0,
    /// KiB of a pooled memory that are reset in place after a call: more makes a fresh instance of a large plugin quicker,
    /// and may stay in memory once per slot.
    keep_resident_kib: u64 = 256,
    /// MiB of a plugin's file.
    file_mib: u64 = 32,
    /// How deep components may nest: validators take time that grows with it.
    nesting: u64 = 8,
    /// Core modules in a plugin.
    modules: u64 = 64,
    /// Components in a plugin, itself included.
    components: u64 = 64,
    /// Functions in a plugin, over all its modules.
    functions: u64 = 100_000,
    /// Entries of any other section, over the whole plugin.
    items: u64 = 200_000,
    /// Memories that a plugin defines; each may start with at most `memory_mib`.
    memories: u64 = 16,
    /// Tables that a plugin defines; each may start with at most `table_elements`.
    tables: u64 = 64,
    /// KiB of descriptions of types, over the whole plugin: they nest, and validators take time and stack that grow with it.
    types_kib: u64 = 4_096,
    /// KiB of one function's body: compilers take time that grows faster than it.
    body_kib: u64 = 1_024,
    /// KiB of one custom section.
    custom_section_kib: u64 = 8_192,
    /// KiB of the manifest.
    manifest_kib: u64 = 256,
    /// MiB of address space for the process that checks and compiles: 47 kB can ask a compiler for 5 GiB.
    compile_memory_mib: u64 = 4_096,
    /// Seconds of processor time for checking and compiling one plugin.
    compile_cpu_s: u64 = 120,
    /// Seconds for checking and compiling one plugin.
    compile_wall_s: u64 = 120,
    /// MiB of one file of the plugin's machine code in the cache.
    artefact_mib: u64 = 512,
    /// Failures (trap, deadline, memory) within `strike_window_s` that send a plugin into quarantine.
    strikes: u64 = 5,
    /// Seconds in which strikes count.
    strike_window_s: u64 = 60,
    /// Seconds of the first quarantine; each that follows is twice as long, at most 64 times.
    quarantine_s: u64 = 10,
    /// Failed calls of a plugin that are kept as evidence, the newest: a plugin decides how often it fails.
    evidence_failures: u64 = 16,
    /// Fuel of one call of a benchmark's scenario, about one unit an instruction: an endless loop ends.
    benchmark_fuel: u64 = 20_000_000_000,
    /// Milliseconds in which a dropped file must not change before it is read.
    settle_ms: u64 = 300,
}

impl RuntimeLimits {
    /// The bounds that decide whether a file is accepted, as text: what was accepted under other ones is checked again.
    pub(crate) fn of_files(&self) -> String {
        let bounds = [
            self.file_mib,
            self.nesting,
            self.modules,
            self.components,
            self.functions,
            self.items,
            self.memories,
            self.tables,
            self.types_kib,
            self.body_kib,
            self.custom_section_kib,
            self.manifest_kib,
            self.memory_mib,
            self.table_elements,
        ];
        bounds.map(|bound| bound.to_string()).join(" ")
    }

    /// The deadline of an AAA call.
    pub fn aaa_deadline(&self, may_be_slow: bool) -> Duration {
        Duration::from_millis(if may_be_slow { self.aaa_network_deadline_ms } else { self.aaa_deadline_ms })
    }

    /// The deadline of a driver's call.
    pub fn driver_deadline(&self) -> Duration {
        Duration::from_millis(self.driver_deadline_ms)
    }

    /// The deadline of a life-cycle call.
    pub fn lifecycle_deadline(&self) -> Duration {
        Duration::from_millis(self.lifecycle_deadline_ms)
    }

    /// Bytes of one instance's memory.
    pub fn memory_bytes(&self) -> usize {
        to_usize(self.memory_mib.saturating_mul(1 << 20))
    }

    /// Bytes that one call may hand to the host.
    pub fn hostcall_bytes(&self) -> usize {
        to_usize(self.hostcall_kib.saturating_mul(1 << 10))
    }
}

/// A bound as `usize`; saturates.
pub(crate) fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A bound as `u32`; saturates.
pub(crate) fn to_u32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_sentence() {
        for (name, _, sentence) in RuntimeLimits::TABLE {
            assert!(sentence.trim().ends_with('.'), "{name}");
        }
    }

    #[test]
    fn an_unknown_limit_is_refused() {
        assert!(toml::from_str::<RuntimeLimits>("memory_mib = 32").is_ok());
        assert!(toml::from_str::<RuntimeLimits>("memory = 32").is_err());
    }
}
