//! The question as Rego's `input`: the records of `archipel:aaa/types` under their WIT names, with `_` for `-`.
//!
//! What is absent is left out, as Rego has it: a rule that looks at it is undefined there, rather than comparing with null.
//! Lists of pairs become objects; of an attribute with several values the list of them. A `spec` is the object it is.

use std::collections::BTreeMap;

use archipel_sdk::aaa::Usage;
use archipel_sdk::prelude::*;
use regorus::Value;

/// Nanoseconds, as Rego counts time, of a millisecond.
const NS_PER_MS: u64 = 1_000_000;

/// `input`.
pub(crate) fn of(user: &FederationUser, resource: &Resource, context: &Context) -> Value {
    Object::default()
        .with("user", of_user(user))
        .with("resource", of_resource(resource))
        .with("context", of_context(context))
        .value()
}

fn of_user(user: &FederationUser) -> Value {
    let mut attributes: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (name, value) in &user.attributes {
        attributes.entry(name).or_default().push(text(value));
    }
    let attributes = attributes
        .into_iter()
        .fold(Object::default(), |object, (name, values)| object.with(name, values.into()));
    Object::default()
        .with("issuer", text(&user.issuer))
        .with("subject", text(&user.subject))
        .with("name", text(&user.name))
        .maybe("email", user.email.as_deref().map(text))
        .with("groups", texts(&user.groups))
        .with("entitlements", texts(&user.entitlements))
        .with("attributes", attributes.value())
        .maybe("home_site", user.home_site.as_deref().map(text))
        .with("assurance", text(&user.assurance))
        .with("authenticated_at_ns", ns(user.authenticated_at))
        .maybe("expires_at_ns", user.expires_at.map(ns))
        .value()
}

fn of_resource(resource: &Resource) -> Value {
    let owner = |owner: &Owner| {
        Object::default().with("issuer", text(&owner.issuer)).with("subject", text(&owner.subject)).value()
    };
    let labels =
        resource.labels.iter().fold(Object::default(), |object, (key, value)| object.with(key, text(value)));
    // The host made it; should it be no JSON after all, no rule about it holds.
    let spec = resource.spec.as_deref().and_then(|spec| Value::from_json_str(spec).ok());
    Object::default()
        .with("kind", text(&resource.kind))
        .maybe("id", resource.id.as_deref().map(text))
        .maybe("cloud", resource.cloud.as_deref().map(text))
        .with("site", text(&resource.site))
        .maybe("owner", resource.owner.as_ref().map(owner))
        .maybe("group", resource.group.as_deref().map(text))
        .maybe("state", resource.state.as_deref().map(text))
        .with("labels", labels.value())
        .maybe("spec", spec)
        .maybe("owner_usage", resource.owner_usage.as_ref().map(of_usage))
        .maybe("group_usage", resource.group_usage.as_ref().map(of_usage))
        .value()
}

fn of_usage(usage: &Usage) -> Value {
    Object::default()
        .with("instances", usage.instances.into())
        .with("vcpu", usage.vcpu.into())
        .with("ram_mib", usage.ram_mib.into())
        .with("disk_gib", usage.disk_gib.into())
        .value()
}

fn of_context(context: &Context) -> Value {
    Object::default()
        .with("request_id", text(&context.request_id))
        .with("now_ns", ns(context.now))
        .with("operation", text(&context.operation))
        .with("this_site", text(&context.this_site))
        .maybe("requesting_site", context.requesting_site.as_deref().map(text))
        .maybe("client_address", context.client_address.as_deref().map(text))
        .maybe("group", context.group.as_deref().map(text))
        .value()
}

fn text(text: impl AsRef<str>) -> Value {
    text.as_ref().into()
}

fn texts(all: &[String]) -> Value {
    all.iter().map(text).collect::<Vec<_>>().into()
}

fn ns(ms: u64) -> Value {
    ms.saturating_mul(NS_PER_MS).into()
}

/// An object that is being written.
#[derive(Default)]
struct Object(BTreeMap<Value, Value>);

impl Object {
    fn with(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.into(), value);
        self
    }

    fn maybe(self, name: &str, value: Option<Value>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn value(self) -> Value {
        self.0.into()
    }
}
