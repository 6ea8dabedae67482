//! What types cannot say: what keys mean together.

use std::collections::BTreeMap;

use archipel_api::AuditSettings;
use archipel_config::Reader;
use archipel_events::EventsConfig;
use archipel_orders::LimitRule;
use archipel_runtime::config::RuntimeConfig;
use archipel_telemetry::TelemetryConfig;
use archipel_vault::SecretSource;

use super::SiteSection;

/// Passwords and tokens must not cross a network in the clear by an oversight.
pub(super) fn check_site(site: &SiteSection, reader: &mut Reader<'_>) {
    if site.tls.is_none() && !site.listen.ip().is_loopback() && !site.allow_plain_http_off_loopback {
        reader.refuse(
            "site.listen",
            format!(
                "{} is reachable from other machines and would serve tokens in plain HTTP; set tls = {{ cert, key }}, \
                 listen on 127.0.0.1, or, behind a proxy that does TLS, set allow_plain_http_off_loopback = true",
                site.listen
            ),
        );
    }
}

/// The runtime names bindings by `identity "name"`; the reader wants a path.
pub(super) fn check_runtime(config: &RuntimeConfig, reader: &mut Reader<'_>) {
    let Err(problems) = config.check() else { return };
    let names = |kind: &str| -> Vec<String> {
        match kind {
            "identity" => config.identity.iter().map(|binding| format!("{:?}", binding.name)).collect(),
            "authorization" => config.authorization.iter().map(|link| format!("{:?}", link.plugin)).collect(),
            "cloud" => config.cloud.iter().map(|cloud| format!("{:?}", cloud.name.as_str())).collect(),
            _ => Vec::new(),
        }
    };
    for problem in problems {
        let (place, message) = problem.split_once(": ").unwrap_or(("", &problem));
        let (kind, name) = place.split_once(' ').unwrap_or((place, ""));
        // The last one of a name: of two, the second is the one to rename.
        match names(kind).iter().rposition(|known| known == name) {
            Some(index) => reader.refuse(&format!("{kind}[{index}]"), message),
            None => reader.refuse(kind, message),
        }
    }
}

/// `[[limit]]`: whom it counts, and at least one amount.
pub(super) fn check_limit_rules(rules: &[LimitRule], config: &RuntimeConfig, reader: &mut Reader<'_>) {
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("limit[{index}]");
        let whom = [rule.user.is_some(), rule.group.is_some(), rule.cloud.is_some()];
        if whom.iter().filter(|given| **given).count() != 1 {
            reader.refuse(&path, "says not whom it counts; set exactly one of user, group and cloud");
        }
        if [rule.instances, rule.vcpu, rule.ram_mib, rule.disk_gib].iter().all(Option::is_none) {
            reader.refuse(&path, "limits nothing; set instances, vcpu, ram_mib or disk_gib");
        }
        if let Some(cloud) = &rule.cloud
            && !config.cloud.iter().any(|known| known.name == *cloud)
        {
            reader
                .refuse(&format!("{path}.cloud"), format!("there is no [[cloud]] with the name \"{cloud}\""));
        }
    }
}

/// The shortest time for which the audit may be kept: a day, so that a slip of the keyboard does not take it away at once.
const AUDIT_KEPT_S: u64 = 86_400;

/// `[audit]`.
pub(super) fn check_audit(audit: &AuditSettings, reader: &mut Reader<'_>) {
    if audit.retention_s < AUDIT_KEPT_S {
        let text = format!(
            "{} is less than a day; write at least {AUDIT_KEPT_S}, or leave it out for 400 days",
            audit.retention_s
        );
        reader.refuse("audit.retention_s", text);
    }
}

/// `[telemetry]`.
pub(super) fn check_telemetry(
    telemetry: &TelemetryConfig,
    secrets: &BTreeMap<String, SecretSource>,
    reader: &mut Reader<'_>,
) {
    let names: Vec<&str> = secrets.keys().map(String::as_str).collect();
    for (path, message) in telemetry.check(&names) {
        reader.refuse(&path, message);
    }
}

/// `[events]`: what the publishers say of themselves, and that each cloud of a filter is there.
pub(super) fn check_events(
    events: &EventsConfig,
    secrets: &BTreeMap<String, SecretSource>,
    config: &RuntimeConfig,
    reader: &mut Reader<'_>,
) {
    let names: Vec<&str> = secrets.keys().map(String::as_str).collect();
    for (path, message) in events.check(&names) {
        reader.refuse(&path, message);
    }
    let kafka = events
        .kafka
        .iter()
        .map(|one| &one.clouds)
        .enumerate()
        .map(|(index, clouds)| ("kafka", index, clouds));
    let webhook = events
        .webhook
        .iter()
        .map(|one| &one.clouds)
        .enumerate()
        .map(|(index, clouds)| ("webhook", index, clouds));
    for (kind, index, clouds) in kafka.chain(webhook) {
        for name in
            clouds.iter().filter(|name| !config.cloud.iter().any(|cloud| cloud.name.as_str() == *name))
        {
            let path = format!("events.{kind}[{index}].clouds");
            reader.refuse(&path, format!("there is no [[cloud]] with the name \"{name}\""));
        }
    }
}
