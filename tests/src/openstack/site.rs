//! A site in a temporary folder whose users are those of a Keystone and whose cloud is an OpenStack: the shipped plugins,
//! with grants that name every place that each may reach, and nothing else.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use anyhow::{Context, Result};
use archipel_client::Client;
use serde_json::{Value, json};

use super::peer::{Peer, Person};
use crate::built;
use crate::site::Site;

/// The name of the cloud.
pub const CLOUD: &str = "openstack";

/// The plugins that such a site is served by.
pub const PLUGINS: [&str; 4] = ["aaa-keystone", "authz-roles", "mapper-by-group", "cloud-openstack"];

/// Which project takes which group; the first two are those that the story moves between.
const PROJECTS: [&str; 3] = ["physics", "biology", "chemistry"];

/// The site: members of a group of Keystone order in the project of its name. `alice`, `bob`, `carol` and `erin` may order,
/// `dave` may only look, `admin` of Keystone is the operator.
///
/// # Errors
/// When the plugins were not built, or the disk refuses.
pub fn site(peer: &Peer) -> Result<Site> {
    site_between(peer, peer)
}

/// The same with two ways to the peer: `users` for whoever logs in, `peer` for the driver and its accounts.
///
/// # Errors
/// As [`site`].
pub fn site_between(users: &Peer, peer: &Peer) -> Result<Site> {
    let mut site = Site::temporary()?;
    for entry in std::fs::read_dir(site.plugin_dir())? {
        std::fs::remove_file(entry?.path())?;
    }
    for name in PLUGINS {
        site.drop_plugin(name, &built::plugin(name)?)?;
    }
    site.users.clear();
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    // Of its own each time: what an earlier run may have left in the cloud is not ours.
    let id = format!("site-{:08x}.example.org", rand::random::<u32>());
    site.config = json!({
        // The same port over every restart, so that clients find it again.
        "site": {"id": id, "listen": format!("127.0.0.1:{port}")},
        "identity": [identity(users)],
        "authorization": [authorization(users)],
        "cloud": [{
            "name": CLOUD,
            "driver": "cloud-openstack",
            "mapper": "mapper-by-group",
            "mapper_config": mapper(peer),
            "config": {"site": id, "default_network": "common"},
        }],
        "secrets": secrets(&site, peer)?,
        "grants": grants(users, peer)?,
        "limits": {
            "identity": {"logins_per_second": 1000.0, "login_burst": 1000},
            // Looks every two seconds instead of every thirty, so that an hour of a site's life goes by in minutes.
            "orders": {"poll_steady_ms": 2000, "spread_ms": 2000},
        },
    });
    Ok(site)
}

fn identity(peer: &Peer) -> Value {
    json!({
        "name": "keystone",
        "plugin": "aaa-keystone",
        "issuers": [peer.auth_url()],
        "config": {"auth_url": peer.auth_url()},
    })
}

fn authorization(peer: &Peer) -> Value {
    let assigned = |role: &str, person: Person<'_>| json!({"role": role, "issuer": peer.auth_url(), "subjects": [person.id()]});
    let look =
        json!({"operations": ["read", "list"], "kinds": ["cloud", "spec", "image", "quota"], "reach": "any"});
    let members = ["alice", "bob", "carol", "erin"].map(|name| assigned("member", peer.user(name)));
    let operator = assigned("operator", peer.admin());
    json!({
        "plugin": "authz-roles",
        "config": {
            "roles": {
                "visitor": {"allow": [{"operations": ["login"]}, look]},
                "member": {"allow": [{"operations": ["create", "update", "act"]}]},
                "operator": {"allow": [
                    {"operations": ["*"], "reach": "any"},
                    {"operations": ["*", "admin"], "kinds": ["admin"], "reach": "any"},
                ]},
            },
            "assignments": members.into_iter().chain([operator]).collect::<Vec<_>>(),
            "default_role": "visitor",
        },
    })
}

/// A project per group. One account logs in with an application credential, so that both ways are gone.
fn mapper(peer: &Peer) -> Value {
    let rule = |project: &str| {
        let account = peer.account(project);
        let keystone = match account.application_credential() {
            Some((id, _)) => json!({"application_credential_id": id}),
            None => json!({"user": account.username(), "project": account.project()}),
        };
        json!({"group": project, "account": project, "secret": secret_name(project), "keystone": keystone})
    };
    json!({
        "keystone": {"auth_url": peer.auth_url(), "region": peer.region(), "user_domain": "Default"},
        "rules": PROJECTS.map(rule),
    })
}

fn secret_name(project: &str) -> String {
    format!("account-{project}")
}

/// Each in a file of its own, for nobody else to read.
fn secrets(site: &Site, peer: &Peer) -> Result<Value> {
    let folder = site.folder().join("secrets");
    std::fs::create_dir_all(&folder)?;
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700))?;
    let mut secrets = json!({});
    for project in PROJECTS {
        let account = peer.account(project);
        let secret = account.application_credential().map_or(account.password(), |(_, secret)| secret);
        let name = secret_name(project);
        let mut file =
            std::fs::File::options().write(true).create_new(true).mode(0o600).open(folder.join(&name))?;
        std::io::Write::write_all(&mut file, secret.as_bytes()).context("writing a secret")?;
        secrets[name] = json!({"file": format!("secrets/{}", secret_name(project))});
    }
    Ok(secrets)
}

fn grants(users: &Peer, peer: &Peer) -> Result<Value> {
    let rule = |name: &str, origin: &str, methods: &[&str], path: &str, placement: &str| json!({"name": name, "origin": origin, "methods": methods, "path": path, "placement": placement});
    let log_in = |name: &str, origin: &str| rule(name, origin, &["POST"], "/v3/auth/tokens", "json");
    let show =
        |name: &str, origin: &str, path: &str| rule(name, origin, &["GET"], path, "header:x-auth-token");

    let home = users.origin("identity")?;
    let user = [
        log_in("login.*", &home),
        show("session", &home, "/v3/auth/tokens"),
        show("session", &home, "/v3/users/*/groups"),
        rule("session", &home, &["GET"], "/v3/auth/tokens", "header:x-subject-token"),
    ];

    let keystone = peer.origin("identity")?;
    let mut mapper: Vec<Value> =
        PROJECTS.iter().map(|project| log_in(&secret_name(project), &keystone)).collect();
    mapper.push(show("captured.token", &keystone, "/v3/auth/catalog"));

    let (mut hosts, mut driver) = (Vec::new(), Vec::new());
    for (service, path) in
        [("compute", "/v2.1/*"), ("volumev3", "/v3/*"), ("network", "/v2.0/*"), ("image", "/v2/*")]
    {
        let origin = peer.origin(service)?;
        let methods = ["GET", "POST", "PUT", "DELETE"];
        driver.push(rule("local-token", &origin, &methods, path, "header:x-auth-token"));
        hosts.push(origin);
    }
    let grant = |hosts: &[String], secrets: &[Value]| json!({"hosts": hosts, "private": true, "pin": "capabilities", "secrets": secrets});
    let mut driver = grant(&hosts, &driver);
    driver["storage"] = json!("4 MiB");
    Ok(json!({
        "aaa-keystone": grant(&[home], &user),
        "mapper-by-group": grant(&[keystone], &mapper),
        "cloud-openstack": driver,
    }))
}

/// Logs somebody in with a password, and gives the site's token.
///
/// # Errors
/// When the site refuses.
pub async fn token(site: &Client, who: Person<'_>, password: &str) -> Result<String> {
    let credentials = json!({"username": who.username(), "user_domain": who.domain(), "password": password});
    let answer = site.post("/v1/tokens", &json!({"binding": "keystone", "credentials": credentials})).await?;
    Ok(answer.success()?["token"].as_str().context("a token in the answer")?.to_owned())
}
