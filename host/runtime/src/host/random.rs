//! `wasi:random`: the operating system's numbers, in small portions.
//!
//! During `lifecycle.init` there are none: what is drawn there would be the same in every call that starts from the
//! prepared memory. WASI has no error for that, so it is a trap with a sentence. `insecure-seed` stays, because a hash
//! map asks for it; that it was asked for is remembered, and such a memory is not kept: every call then prepares itself
//! and has a seed of its own.

use rand::RngCore;
use wasmtime::bail;
use wasmtime::component::HasData;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::call::CallClass;

/// Bytes that one request may draw.
const MAX_BYTES: u64 = 64 * 1024;

/// Randomness of one call.
pub(crate) struct Random {
    allowed: bool,
    seeded: bool,
}

impl HasData for Random {
    type Data<'a> = &'a mut Self;
}

impl Random {
    pub(crate) fn new(class: CallClass) -> Self {
        Self { allowed: class != CallClass::Init, seeded: false }
    }

    /// Whether a seed was handed out.
    pub(crate) fn gave_seed(&self) -> bool {
        self.seeded
    }

    fn check(&self) -> wasmtime::Result<()> {
        if !self.allowed {
            bail!(
                "lifecycle.init may not draw random numbers: they would be the same in every call; draw them in the call"
            );
        }
        Ok(())
    }

    fn bytes(&self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.check()?;
        match usize::try_from(len) {
            Ok(count) if len <= MAX_BYTES => {
                let mut bytes = vec![0; count];
                rand::rngs::OsRng.fill_bytes(&mut bytes);
                Ok(bytes)
            }
            _ => bail!("{len} random bytes at once are more than {MAX_BYTES}; draw them in portions"),
        }
    }
}

impl random::Host for Random {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.check()?;
        Ok(rand::rngs::OsRng.next_u64())
    }
}

impl insecure::Host for Random {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        random::Host::get_random_u64(self)
    }
}

impl insecure_seed::Host for Random {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        self.seeded = true;
        let mut rng = rand::thread_rng();
        Ok((rng.next_u64(), rng.next_u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_draws_nothing_and_a_seed_is_remembered() {
        let mut random = Random::new(CallClass::Init);
        assert!(random.bytes(1).unwrap_err().to_string().contains("lifecycle.init"));
        assert!(random::Host::get_random_u64(&mut random).is_err());
        assert!(!random.gave_seed());
        let seed = insecure_seed::Host::insecure_seed(&mut random).unwrap();
        assert!(random.gave_seed());
        assert_ne!(insecure_seed::Host::insecure_seed(&mut Random::new(CallClass::Init)).unwrap(), seed);
    }

    #[test]
    fn portions_are_bounded() {
        let random = Random::new(CallClass::Aaa);
        assert_eq!(random.bytes(MAX_BYTES).unwrap().len(), 65536);
        assert!(random.bytes(MAX_BYTES + 1).is_err());
        assert!(random.bytes(u64::MAX).is_err());
    }
}
