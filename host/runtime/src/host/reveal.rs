//! `credentials.reveal`: the one way in which a secret's bytes reach a plugin, for what no placement can do. A grant of its
//! own names each secret, and the site's audit has every reveal before the bytes are given: no record, no bytes.
//!
//! Once per call and secret: a plugin cannot fill the audit by asking again. Never in `lifecycle.init`, whose memory may be
//! kept.

use archipel_bindings::handles::Secret;
use archipel_model::audit::{AuditDoor, AuditRecord, Outcome};
use archipel_model::{Error, SecretBytes};
use wasmtime::component::Resource;

use super::call::CallClass;
use super::state::CallState;

impl CallState {
    /// The secret behind a handle, and the record that must be written before its bytes are given; `None` where it has
    /// been in this call.
    pub(crate) fn to_reveal(
        &self,
        what: &Resource<Secret>,
    ) -> Result<(SecretBytes, Option<AuditRecord>), Error> {
        let row = self.secret(what)?;
        let (name, bytes) = (row.name.clone(), row.bytes.clone());
        if self.call.class == CallClass::Init {
            return Err(Error::forbidden(
                "nothing is revealed in lifecycle.init: its memory may be kept for all calls",
            ));
        }
        let binding = &self.binding;
        if binding.shadow {
            return Err(Error::forbidden("nothing is revealed to a candidate in the shadow of another"));
        }
        if !binding.grants.may_reveal(&name) {
            return Err(Error::forbidden(format!(
                "secret {name:?} may be used but not seen; the administrator may add it to `reveal` of the grant"
            )));
        }
        let record = (!self.revealed.contains(&name)).then(|| AuditRecord {
            request: self.call.request_id.clone(),
            order: self.call.order,
            on: Some(name.clone()),
            reason: Some(format!("to {} as {} in {}", binding.digest, binding.name, self.call.function)),
            ..AuditRecord::new(
                binding.services.clock.now(),
                AuditDoor::Daemon,
                "reveal-secret",
                Outcome::Allowed,
            )
        });
        Ok((bytes, record))
    }

    /// It is in the audit.
    pub(crate) fn note_revealed(&mut self, record: &AuditRecord) {
        let name = record.on.clone().unwrap_or_default();
        tracing::warn!(
            target: "archipel::plugin",
            plugin = %self.binding.name, function = self.call.function, request = %self.call.request_id, secret = %name,
            "a secret was revealed to a plugin"
        );
        self.revealed.insert(name);
    }
}
