//! `wasi:random`: the operating system's numbers, in small portions.
//!
//! During `lifecycle.init` there are none: what is drawn there would be the same in every call that starts from the
//! prepared memory. WASI has no error for that, so it is a trap with a sentence. `insecure-seed` stays, because a hash
//! map asks for it; that it was asked for is remembered, and such a memory is not kept: every call then prepares itself
//! and has a seed of its own.
//!
//! Tests of plugins may be given numbers that repeat ([`Randomness::seeded`]); a site never is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::{OsRng, StdRng};
use rand::{RngCore, SeedableRng};
use wasmtime::bail;
use wasmtime::component::HasData;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::call::CallClass;

/// Bytes that one request may draw.
const MAX_BYTES: u64 = 64 * 1024;

/// Where a site's plugins draw from.
#[derive(Clone, Debug, Default)]
pub struct Randomness(Option<Arc<Seeded>>);

#[derive(Debug)]
struct Seeded {
    seed: u64,
    calls: AtomicU64,
}

impl Randomness {
    /// The same numbers in every run: each call draws from a sequence of its own, made of the seed and of how many calls
    /// came before.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Seeded { seed, calls: AtomicU64::new(0) })))
    }

    fn source(&self) -> Source {
        match &self.0 {
            None => Source::System(OsRng),
            Some(seeded) => {
                let call = seeded.calls.fetch_add(1, Ordering::Relaxed);
                Source::Seeded(Box::new(StdRng::seed_from_u64(seeded.seed.rotate_left(32) ^ call)))
            }
        }
    }
}

enum Source {
    System(OsRng),
    Seeded(Box<StdRng>),
}

impl Source {
    fn rng(&mut self) -> &mut dyn RngCore {
        match self {
            Self::System(rng) => rng,
            Self::Seeded(rng) => &mut **rng,
        }
    }
}

/// Randomness of one call.
pub(crate) struct Random {
    source: Option<Source>,
    seeded: bool,
}

impl HasData for Random {
    type Data<'a> = &'a mut Self;
}

impl Random {
    pub(crate) fn new(class: CallClass, randomness: &Randomness) -> Self {
        Self { source: (class != CallClass::Init).then(|| randomness.source()), seeded: false }
    }

    /// Whether a seed was handed out.
    pub(crate) fn gave_seed(&self) -> bool {
        self.seeded
    }

    fn rng(&mut self) -> wasmtime::Result<&mut dyn RngCore> {
        match &mut self.source {
            Some(source) => Ok(source.rng()),
            None => bail!(
                "lifecycle.init may not draw random numbers: they would be the same in every call; draw them in the call"
            ),
        }
    }

    fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        let rng = self.rng()?;
        match usize::try_from(len) {
            Ok(count) if len <= MAX_BYTES => {
                let mut bytes = vec![0; count];
                rng.fill_bytes(&mut bytes);
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
        Ok(self.rng()?.next_u64())
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
        match &mut self.source {
            Some(Source::Seeded(rng)) => Ok((rng.next_u64(), rng.next_u64())),
            None | Some(Source::System(_)) => {
                let mut rng = rand::thread_rng();
                Ok((rng.next_u64(), rng.next_u64()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_draws_nothing_and_a_seed_is_remembered() {
        let init = || Random::new(CallClass::Init, &Randomness::default());
        let mut random = init();
        assert!(random.bytes(1).unwrap_err().to_string().contains("lifecycle.init"));
        assert!(random::Host::get_random_u64(&mut random).is_err());
        assert!(!random.gave_seed());
        let seed = insecure_seed::Host::insecure_seed(&mut random).unwrap();
        assert!(random.gave_seed());
        assert_ne!(insecure_seed::Host::insecure_seed(&mut init()).unwrap(), seed);
    }

    #[test]
    fn a_seed_repeats_every_call_and_no_two_calls_alike() {
        let draw = |randomness: &Randomness| Random::new(CallClass::Aaa, randomness).bytes(16).unwrap();
        let (one, other) = (Randomness::seeded(7), Randomness::seeded(7));
        let first = [draw(&one), draw(&one)];
        assert_eq!(first, [draw(&other), draw(&other)]);
        assert_ne!(first[0], first[1]);
        assert_ne!(draw(&Randomness::seeded(8)), first[0]);
        assert_ne!(draw(&Randomness::default()), draw(&Randomness::default()));
    }

    #[test]
    fn portions_are_bounded() {
        let mut random = Random::new(CallClass::Aaa, &Randomness::default());
        assert_eq!(random.bytes(MAX_BYTES).unwrap().len(), 65536);
        assert!(random.bytes(MAX_BYTES + 1).is_err());
        assert!(random.bytes(u64::MAX).is_err());
    }
}
