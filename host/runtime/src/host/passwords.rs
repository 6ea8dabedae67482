//! Password hashes: argon2id (RFC 9106) as PHC strings, away from the async threads and a few at a time, because each
//! takes tens of megabytes and milliseconds.

use std::sync::Arc;

use archipel_model::{Error, SecretBytes};
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use rand::RngCore;
use tokio::sync::Semaphore;

/// Bytes of a password.
const MAX_PASSWORD: usize = 4 * 1024;
/// Bytes of a PHC string.
const MAX_PHC: usize = 512;
/// Memory of one hash in KiB: a hash from a configuration must not be a memory bomb.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
/// Passes of one hash.
const MAX_PASSES: u32 = 16;
/// Lanes of one hash.
const MAX_LANES: u32 = 8;

/// Hashes and checks, so many at a time.
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
}

impl Passwords {
    /// As many at a time as there are processors.
    pub(crate) fn new() -> Self {
        let places = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { places: Arc::new(Semaphore::new(places)) }
    }

    pub(crate) async fn hash(&self, password: SecretBytes) -> Result<String, Error> {
        check_length(&password)?;
        self.run(move || {
            let mut salt = [0; 16];
            rand::rngs::OsRng.fill_bytes(&mut salt);
            let salt = SaltString::encode_b64(&salt).map_err(|error| Error::internal(error.to_string()))?;
            let hash = Argon2::default().hash_password(password.reveal(), &salt);
            hash.map(|hash| hash.to_string()).map_err(|error| Error::internal(error.to_string()))
        })
        .await
    }

    pub(crate) async fn check(&self, password: SecretBytes, phc: String) -> Result<bool, Error> {
        check_length(&password)?;
        // Parsed before a place is taken: a malformed hash costs nothing.
        parse(&phc)?;
        self.run(move || {
            let (hash, argon) = parse(&phc)?;
            Ok(argon.verify_password(password.reveal(), &hash).is_ok())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place =
            Arc::clone(&self.places).acquire_owned().await.map_err(|_| Error::transient("the site stops"))?;
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work is done, also where the caller is gone: it cannot be stopped.
            let _place = place;
            work()
        });
        done.await.map_err(|error| Error::internal(error.to_string()))?
    }
}

fn check_length(password: &SecretBytes) -> Result<(), Error> {
    if password.reveal().len() > MAX_PASSWORD {
        return Err(Error::invalid("a password has at most 4 KiB"));
    }
    Ok(())
}

fn parse(phc: &str) -> Result<(PasswordHash<'_>, Argon2<'static>), Error> {
    let malformed = || Error::invalid("not a PHC string of argon2id; make one with hash-password");
    if phc.len() > MAX_PHC {
        return Err(malformed());
    }
    let hash = PasswordHash::new(phc).map_err(|_| malformed())?;
    let algorithm = Algorithm::try_from(hash.algorithm).map_err(|_| malformed())?;
    let params = Params::try_from(&hash).map_err(|_| malformed())?;
    if algorithm != Algorithm::Argon2id || hash.hash.is_none() || hash.salt.is_none() {
        return Err(malformed());
    }
    if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES || params.p_cost() > MAX_LANES {
        return Err(Error::invalid(
            "this hash asks for more than 256 MiB, 16 passes or 8 lanes; make it again with less",
        ));
    }
    Ok((hash, Argon2::new(algorithm, Version::default(), params)))
}

#[cfg(test)]
mod tests {
    use archipel_model::ErrorKind;

    use super::*;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_no_two_hashes_are_alike() {
        let passwords = Passwords::new();
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert!(passwords.check(secret("correct horse"), hash.clone()).await.unwrap());
        assert!(!passwords.check(secret("battery staple"), hash.clone()).await.unwrap());
        assert_ne!(passwords.hash(secret("correct horse")).await.unwrap(), hash);
    }

    #[tokio::test]
    async fn malformed_and_greedy_hashes_are_invalid() {
        let passwords = Passwords::new();
        for phc in [
            "",
            "hunter2",
            "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
            "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
            "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
            "$argon2id$v=19$m=64,t=1000,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
        ] {
            let error = passwords.check(secret("x"), phc.to_owned()).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{phc}");
        }
    }
}
