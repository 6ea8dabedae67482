//! `archipel:host/storage`: a key-value store of this binding alone, under its grant's quota.
//!
//! Who writes is known from the store, so a plugin cannot name another binding. During AAA calls nothing is written:
//! storage would be a channel between users.

use archipel_bindings::latest::archipel::host::storage::{self, KeyPage};
use archipel_bindings::latest::archipel::host::types::Error as WitError;
use archipel_model::Error;

use super::call::CallClass;
use super::errors::by;
use super::state::CallState;

/// Bytes of a key.
const MAX_KEY: usize = 256;
/// Bytes of a value.
const MAX_VALUE: usize = 256 * 1024;
/// Keys of a page.
const MAX_PAGE: u32 = 1000;

impl CallState {
    async fn store(&mut self, key: &str, value: Option<Vec<u8>>) -> Result<(), Error> {
        check_key(key)?;
        check_value(value.as_deref())?;
        self.check_write()?;
        if self.binding.shadow {
            // As if it were done: what is in another's shadow leaves nothing.
            return Ok(());
        }
        self.storage_written = true;
        let (binding, quota) = (&self.binding, self.binding.grants.storage);
        by(self.call.deadline, binding.services.storage.set(&binding.name, key, value, quota)).await
    }

    fn check_write(&self) -> Result<(), Error> {
        if !self.call.class.may_write() {
            return Err(Error::forbidden(
                "storage is read-only in this call; write in lifecycle.refresh or in a driver",
            ));
        }
        if self.binding.grants.storage == 0 {
            return Err(Error::forbidden(
                "no storage is granted to this plugin; the administrator may add `storage` to its grant",
            ));
        }
        Ok(())
    }
}

impl storage::Host for CallState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, WitError>> {
        let pending = self.trace.begin("storage.get", &key);
        let (binding, class) = (&self.binding, self.call.class);
        let work = async {
            check_key(&key)?;
            check_read(class)?;
            binding.services.storage.get(&binding.name, &key).await
        };
        Ok(pending.answer(by(self.call.deadline, work).await))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), WitError>> {
        let pending = self.trace.begin("storage.set", &key);
        Ok(pending.answer(self.store(&key, Some(value)).await))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), WitError>> {
        let pending = self.trace.begin("storage.delete", &key);
        Ok(pending.answer(self.store(&key, None).await))
    }

    async fn compare_and_swap(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<bool, WitError>> {
        let pending = self.trace.begin("storage.compare-and-swap", &key);
        let checked =
            check_key(&key).and_then(|()| check_value(new.as_deref())).and_then(|()| self.check_write());
        if let Err(error) = checked {
            return Ok(pending.answer(Err(error)));
        }
        if self.binding.shadow {
            let (binding, deadline) = (&self.binding, self.call.deadline);
            let held = by(deadline, binding.services.storage.get(&binding.name, &key)).await;
            return Ok(pending.answer(held.map(|held| held == expected)));
        }
        self.storage_written = true;
        let (binding, quota) = (&self.binding, self.binding.grants.storage);
        let work = binding.services.storage.compare_and_swap(&binding.name, &key, expected, new, quota);
        Ok(pending.answer(by(self.call.deadline, work).await))
    }

    async fn list_keys(
        &mut self,
        prefix: String,
        cursor: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<KeyPage, WitError>> {
        let pending = self.trace.begin("storage.list-keys", &prefix);
        let (binding, class) = (&self.binding, self.call.class);
        let work = async {
            check_read(class)?;
            if prefix.len() > MAX_KEY || cursor.as_ref().is_some_and(|cursor| cursor.len() > 4 * MAX_KEY) {
                return Err(Error::invalid("a prefix has at most 256 bytes; give the cursor as it came"));
            }
            if !(1..=MAX_PAGE).contains(&limit) {
                return Err(Error::invalid("ask for 1 to 1000 keys"));
            }
            let limit = usize::try_from(limit).unwrap_or(1);
            binding.services.storage.list_keys(&binding.name, &prefix, cursor.as_deref(), limit).await
        };
        let page = by(self.call.deadline, work).await;
        Ok(pending.answer(page.map(|(keys, next)| KeyPage { keys, next })))
    }
}

/// What `lifecycle.init` read would be the same in every call, however old.
fn check_read(class: CallClass) -> Result<(), Error> {
    if class.may_read() {
        return Ok(());
    }
    Err(Error::forbidden(
        "lifecycle.init has no storage: what it reads would never change; read it in the call",
    ))
}

fn check_key(key: &str) -> Result<(), Error> {
    if (1..=MAX_KEY).contains(&key.len()) { Ok(()) } else { Err(Error::invalid("a key has 1 to 256 bytes")) }
}

fn check_value(value: Option<&[u8]>) -> Result<(), Error> {
    if value.is_some_and(|value| value.len() > MAX_VALUE) {
        return Err(Error::invalid("a value has at most 256 KiB"));
    }
    Ok(())
}
