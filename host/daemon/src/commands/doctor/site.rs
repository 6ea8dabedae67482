//! What the site stands on: its files and folders, its plugins, its port, and the daemon where one runs.

use std::fs::Metadata;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use archipel_client::Client;
use archipel_runtime::{RuntimeLimits, Slots};
use rustix::fs::statvfs;

use super::Finding;
use crate::commands::plugin::explained;
use crate::config::Config;
use crate::serve::tls::Certificate;

/// Free disk space below which a site should be looked at.
const FREE_BYTES: u64 = 1 << 30;

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let mut findings = vec![site_file(config)];
    findings.push(match config.load_vault() {
        Ok(vault) => Finding::good("secrets", format!("{} can be read", vault.names().len())),
        Err(error) => Finding::bad("secrets", error.to_string(), "give the daemon what it names"),
    });
    if let Some(section) = &config.site.tls {
        findings.push(match Certificate::load(section) {
            Ok(_) => Finding::good("tls", section.cert.display().to_string()),
            Err(error) => Finding::bad("tls", error, "REST cannot be served without it"),
        });
    }
    findings.push(data_dir(config));
    findings.extend(keys(config));
    findings.extend(free_space(config));
    findings.push(engine(config));
    findings.push(slots(config));
    findings.extend(plugins(config).await);
    findings.extend(daemon(config).await);
    findings
}

fn mode(meta: &Metadata) -> u32 {
    meta.permissions().mode() & 0o777
}

fn site_file(config: &Config) -> Finding {
    let (what, shown) = ("site file", config.file.display());
    match std::fs::metadata(&config.file) {
        Ok(meta) if mode(&meta) & 0o022 != 0 => Finding::bad(
            what,
            format!(
                "others may change {shown} (mode {:o}), and with it who is the administrator",
                mode(&meta)
            ),
            format!("chmod go-w {shown}"),
        ),
        Ok(meta) if mode(&meta) & 0o004 != 0 && holds_secrets(config) => Finding::doubtful(
            what,
            format!(
                "everybody may read {shown} (mode {:o}), and secrets or password hashes are in it",
                mode(&meta)
            ),
            format!("chmod o-r {shown}"),
        ),
        Ok(_) => Finding::good(what, format!("{shown} is right, site {}", config.site.id)),
        Err(error) => Finding::bad(what, format!("{shown}: {error}"), "name another with --config"),
    }
}

fn holds_secrets(config: &Config) -> bool {
    config.secrets.values().any(|source| source.value.is_some())
        || config.runtime.identity.iter().any(|binding| binding.config.contains_key("users"))
}

fn data_dir(config: &Config) -> Finding {
    let (what, path) = ("data directory", &config.site.data_dir);
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::good(what, format!("{} will be made at the first start", path.display()));
        }
        Err(error) => {
            return Finding::bad(
                what,
                format!("{}: {error}", path.display()),
                "make it readable for the daemon",
            );
        }
    };
    if mode(&meta) & 0o077 != 0 {
        return Finding::bad(
            what,
            format!("{} is open to others (mode {:o})", path.display(), mode(&meta)),
            format!("chmod 700 {}", path.display()),
        );
    }
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me && me != 0 {
        return Finding::bad(
            what,
            format!("{} belongs to user {}, and this is user {me}", path.display(), meta.uid()),
            "run as the daemon's own user",
        );
    }
    match newest(path) {
        Some(ahead) if ahead > Duration::from_secs(60) => Finding::doubtful(
            what,
            format!("files in it were written {} s in the future: the clock was set back", ahead.as_secs()),
            "set the clock, and keep it set (NTP)",
        ),
        _ => Finding::good(what, path.display().to_string()),
    }
}

/// How far in the future the newest file of a folder is.
fn newest(folder: &Path) -> Option<Duration> {
    let times =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok());
    times.max()?.duration_since(SystemTime::now()).ok()
}

fn keys(config: &Config) -> Vec<Finding> {
    let folder = config.site.data_dir.join("keys");
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let open: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.metadata().is_ok_and(|meta| mode(&meta) & 0o077 != 0))
        .map(|entry| entry.path().display().to_string())
        .collect();
    vec![if open.is_empty() {
        Finding::good(
            "keys",
            format!("{} (back them up: without them sessions and sealed secrets are lost)", folder.display()),
        )
    } else {
        Finding::bad(
            "keys",
            format!("open to others: {}", open.join(", ")),
            format!("chmod 600 {}", open.join(" ")),
        )
    }]
}

fn free_space(config: &Config) -> Option<Finding> {
    let existing = config.site.data_dir.ancestors().find(|path| path.exists())?;
    let disk = statvfs(existing).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let says = format!("{} MiB free under {}", free >> 20, existing.display());
    Some(if free < FREE_BYTES {
        Finding::doubtful("disk", says, "make room: a full disk stops new orders (503), never loses old ones")
    } else {
        Finding::good("disk", says)
    })
}

fn engine(config: &Config) -> Finding {
    let what = "wasm engine";
    let limits = &config.limits.plugins;
    match archipel_runtime::probe(&config.runtime) {
        Ok(facts) if facts.pooling => Finding::good(
            what,
            format!(
                "wasmtime {}, {} instances from a pool, {} of them kept for AAA and {} for drivers, on {}; AAA within {} ms \
                 ({} ms with hosts and at logins), {} at a time per plugin; drivers within {} ms",
                facts.wasmtime,
                facts.instances,
                facts.slots.aaa,
                facts.slots.drivers,
                threads(limits),
                limits.aaa_deadline_ms,
                limits.aaa_network_deadline_ms,
                limits.aaa_concurrency,
                limits.driver_deadline_ms
            ),
        ),
        Ok(facts) => Finding::doubtful(
            what,
            format!(
                "no pool of instances, so calls are slower: {}",
                facts.pooling_refused.unwrap_or_default()
            ),
            "give it address space (ulimit -v unlimited, or LimitAS=infinity), or lower limits.plugins.driver_slots",
        ),
        Err(error) => {
            Finding::bad(what, error, "lower [limits.plugins], or use a machine with more address space")
        }
    }
}

fn threads(limits: &RuntimeLimits) -> String {
    match limits.plugin_threads {
        0 => "as many threads as processors".to_owned(),
        1 => "1 thread".to_owned(),
        count => format!("{count} threads"),
    }
}

/// Whether the slots of drivers are enough for all clouds at once: else a slow one takes them from the others.
fn slots(config: &Config) -> Finding {
    let what = "driver slots";
    let Slots { drivers, driver_calls, .. } = Slots::of(&config.runtime);
    let clouds = config.runtime.cloud.len();
    let says = format!("{drivers}, and {clouds} clouds make {driver_calls} calls at a time at most");
    if driver_calls > drivers {
        Finding::doubtful(
            what,
            says,
            format!("set limits.plugins.driver_slots = {driver_calls}, or lower the concurrency of clouds"),
        )
    } else {
        Finding::good(what, says)
    }
}

async fn plugins(config: &Config) -> Vec<Finding> {
    let folder = &config.site.plugin_dir;
    let what = "plugins";
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let to_do = "make the folder and drop .wasm files into it; without AAA plugins nobody can log in";
            return vec![Finding::bad(what, format!("{}: {error}", folder.display()), to_do)];
        }
    };
    let mut findings = Vec::new();
    if let Ok(meta) = std::fs::metadata(folder)
        && mode(&meta) & 0o022 != 0
    {
        findings.push(Finding::bad(
            what,
            format!(
                "others may drop plugins into {} (mode {:o}): nothing is read there",
                folder.display(),
                mode(&meta)
            ),
            format!("chmod go-w {}", folder.display()),
        ));
    }
    let mut good = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(name) =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".wasm"))
        else {
            continue;
        };
        let problem = match explained(&path, &config.limits.plugins).await {
            Ok(explained) => explained.problem,
            Err(problem) => Some(problem),
        };
        match problem {
            None => good.push(name.to_owned()),
            Some(problem) => findings.push(Finding::doubtful(
                what,
                format!("{name}: {problem}"),
                "drop a right one, or remove it",
            )),
        }
    }
    for needed in needed(config) {
        if !good.contains(&needed) && !folder.join(format!("{needed}.wasm")).exists() {
            findings.push(Finding::bad(
                what,
                format!(
                    "the site file names {needed}, and there is no {needed}.wasm in {}",
                    folder.display()
                ),
                "drop it there, or correct its name",
            ));
        }
    }
    good.sort();
    findings
        .push(Finding::good(what, format!("{} in {}: {}", good.len(), folder.display(), good.join(", "))));
    findings
}

fn needed(config: &Config) -> Vec<String> {
    let runtime = &config.runtime;
    let mut all: Vec<String> = Vec::new();
    for binding in &runtime.identity {
        all.extend(
            [&binding.plugin, &binding.generator, &binding.identity, &binding.authentication]
                .into_iter()
                .flatten()
                .cloned(),
        );
    }
    all.extend(runtime.authorization.iter().map(|link| link.plugin.clone()));
    for cloud in &runtime.cloud {
        all.extend([&cloud.driver, &cloud.mapper].into_iter().chain(cloud.interfaces.values()).cloned());
    }
    all.sort();
    all.dedup();
    all
}

async fn daemon(config: &Config) -> Vec<Finding> {
    let socket = config.admin_socket();
    let client = Client::at_socket(&socket).with_timeout(Duration::from_secs(5));
    if socket.exists()
        && let Ok(answer) = client.get("/readyz").await
    {
        let is_ready = answer.status() == 200;
        let body = answer.json().unwrap_or_default();
        let mut findings = vec![if is_ready {
            Finding::good("daemon", "runs, and is ready")
        } else {
            Finding::bad(
                "daemon",
                format!("runs, but is not ready: {body}"),
                "`archipel plugin list` tells which plugin is refused, and why",
            )
        }];
        findings.extend(super::clouds::look(&client).await);
        findings.extend(super::publishers::look(&client, config).await);
        return findings;
    }
    let mut findings = vec![Finding::good("daemon", "does not run")];
    let listen = config.site.listen;
    findings.push(match TcpListener::bind(listen) {
        Ok(_) => Finding::good("port", format!("{listen} is free")),
        Err(error) => Finding::bad(
            "port",
            format!("{listen}: {error}"),
            "stop what uses it, or set another site.listen",
        ),
    });
    findings
}
