//! The first ledger: what clients were told. Nothing in it may ever turn out untrue.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// What a client knows of an order of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// The kind that was asked for.
    pub kind: String,
    /// A delete was acknowledged.
    pub deleted: bool,
    /// Deleting one of these with `?cascade=true` deletes this one too.
    pub rests_on: Vec<String>,
}

/// What all clients were told, and what they saw that must not be.
#[derive(Debug, Default)]
pub struct Told {
    orders: Mutex<BTreeMap<String, Promise>>,
    violations: Mutex<Vec<String>>,
}

impl Told {
    /// A create was acknowledged with this id.
    pub fn accepted(&self, id: &str, kind: &str, rests_on: Vec<String>) {
        let mut orders = self.orders.lock().unwrap();
        let promise = orders.entry(id.to_owned()).or_default();
        promise.kind = kind.to_owned();
        promise.rests_on = rests_on;
    }

    /// A delete was acknowledged.
    pub fn deleted(&self, id: &str) {
        self.orders.lock().unwrap().entry(id.to_owned()).or_default().deleted = true;
    }

    /// Something was seen that must never be (a 5xx other than 503, a changed answer for a key, ...).
    pub fn violated(&self, what: String) {
        self.violations.lock().unwrap().push(what);
    }

    /// All that was promised.
    pub fn orders(&self) -> BTreeMap<String, Promise> {
        self.orders.lock().unwrap().clone()
    }

    /// All that was seen and must not be.
    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }
}
