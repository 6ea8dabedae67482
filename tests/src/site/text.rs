//! The site file of a temporary site, written as a person would write it.

use anyhow::{Context, Result, anyhow};
use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde_json::Value;

use super::{SiteOptions, User};

/// The whole file. `aaa_digest` pins the plugin that signs sessions.
pub(super) fn site_file(options: &SiteOptions, users: &[User], aaa_digest: &str) -> Result<String> {
    let SiteOptions { id, port, mapper, extra, .. } = options;
    let issuer = format!("https://{id}");
    let mut people = String::new();
    for user in users {
        let hash = hash(&user.password, options.strong_passwords)?;
        people.push_str(&format!(
            "\n[[identity.config.users]]\nname = {:?}\npassword = {hash:?}\ngroups = {:?}\n",
            user.name, user.groups
        ));
    }
    let cloud = inline(&options.cloud)?;
    let mapper_config = inline(&options.mapper_config)?;
    Ok(format!(
        r#"# A site to try Archipel out. Every key is explained by `archipel check-config --help`.

[site]
id = {id:?}
listen = "127.0.0.1:{port}"
data_dir = "data"
plugin_dir = "plugins"

# Who users are: those of this file.
[[identity]]
name = "local"
plugin = "aaa-local"
issuers = [{issuer:?}]

[identity.config]
issuer = {issuer:?}
{people}
# What users may do: everything with what is their own; administrators everything.
[[authorization]]
plugin = "authz-roles"

[authorization.config]
default_role = "member"
assignments = [{{ role = "operator", issuer = {issuer:?}, subjects = ["admin"] }}]

[authorization.config.roles.member]
allow = [
  {{ operations = ["*"] }},
  {{ operations = ["read", "list"], kinds = ["cloud", "spec", "image", "quota"], reach = "any" }},
]

[authorization.config.roles.operator]
allow = [{{ operations = ["*", "admin"], kinds = ["*", "admin"], reach = "any" }}]

# The cloud, and which of its accounts a user becomes.
[[cloud]]
name = "emulated"
driver = "cloud-emulated"
mapper = {mapper:?}
mapper_config = {mapper_config}
config = {cloud}

# What plugins may do beyond computing.
[grants.aaa-local]
crypto = [{{ purpose = "session", lifetime_s_max = 43200 }}]
accept = [{aaa_digest:?}]

[grants.cloud-emulated]
storage = "256 MiB"
{extra}"#
    ))
}

/// A JSON value as inline TOML.
fn inline(value: &Value) -> Result<String> {
    Ok(toml::Value::try_from(value).context("a configuration that TOML cannot say")?.to_string())
}

fn hash(password: &str, is_strong: bool) -> Result<String> {
    let params = if is_strong {
        Params::default()
    } else {
        Params::new(1024, 1, 1, None).map_err(|e| anyhow!("{e}"))?
    };
    let salt = SaltString::generate(&mut rand::rngs::OsRng);
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(hasher
        .hash_password(password.as_bytes(), &salt)
        .map_err(|error| anyhow!("hashing a password: {error}"))?
        .to_string())
}
