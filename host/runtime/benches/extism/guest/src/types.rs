//! What is asked and answered, as JSON: the records of `archipel:aaa/types` that the policy sees. Both ends have this file.

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    pub user: FederationUser,
    pub resource: Resource,
    pub context: Context,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct FederationUser {
    pub issuer: String,
    pub subject: String,
    pub name: String,
    pub email: Option<String>,
    pub groups: Vec<String>,
    pub entitlements: Vec<String>,
    pub attributes: Vec<(String, String)>,
    pub home_site: Option<String>,
    pub assurance: String,
    pub authenticated_at: u64,
    pub expires_at: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Owner {
    pub issuer: String,
    pub subject: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Resource {
    pub kind: String,
    pub id: Option<String>,
    pub cloud: Option<String>,
    pub site: String,
    pub owner: Option<Owner>,
    pub group: Option<String>,
    pub state: Option<String>,
    pub labels: Vec<(String, String)>,
    /// JSON in a string, as in the WIT.
    pub spec: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Context {
    pub request_id: String,
    pub now: u64,
    pub operation: String,
    pub this_site: String,
    pub requesting_site: Option<String>,
    pub client_address: Option<String>,
    pub group: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    Allow(Allow),
    Deny(Deny),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allow {
    pub reach: Reach,
    pub obligations: Vec<Obligation>,
    pub valid_for_ms: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deny {
    pub reason: String,
    pub obligations: Vec<Obligation>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligation {
    pub name: String,
    pub value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    Own,
    Group,
    Any,
}
