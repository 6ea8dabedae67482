//! The cache of machine code, in a folder that only the daemon may write.
//!
//! An entry is named by what it was made from (digest of the component, compatibility hash of the engine) and carries a
//! MAC over name and content, with a key that is kept outside the folder: loading machine code means running it, so
//! whoever can write the folder must not be able to make an entry. A damaged entry is a warning and a new compile.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::limits::RuntimeLimits;
use crate::refusal::Refusal;

const MAGIC: &[u8; 8] = b"ARCHAOT1";
const MAC_LENGTH: usize = 32;

/// Machine code whose origin is known: made by this process's own compiler, or read with a right MAC.
pub(crate) struct Trusted(Vec<u8>);

impl Trusted {
    /// What the compiler of this host made.
    pub(crate) fn from_own_compiler(artefact: Vec<u8>) -> Self {
        Self(artefact)
    }

    /// Loads it.
    #[allow(unsafe_code, reason = "the one place where machine code is loaded")]
    pub(crate) fn load(&self, engine: &Engine) -> Result<Component, Refusal> {
        // SAFETY: `deserialize` demands bytes that `precompile_component` made, because it runs them. A `Trusted` is
        // made in two ways only: from the output of our own compile process over a pipe, or from a cache entry whose
        // HMAC over name and content was right under a key that is not in the cache's folder. The bytes are in our
        // own memory since then, so nobody changes them between check and use. Wasmtime refuses by itself what was
        // made by another version or configuration.
        let component = unsafe { Component::deserialize(engine, &self.0) };
        component.map_err(|error| Refusal::Compile(format!("its machine code cannot be loaded: {error:#}")))
    }
}

/// The cache.
#[derive(Clone)]
pub(crate) struct AotCache {
    folder: PathBuf,
    key: [u8; 32],
    compatibility: String,
    most: u64,
}

impl AotCache {
    /// Opens the folder, making it if need be.
    pub(crate) fn open(
        folder: PathBuf,
        key: [u8; 32],
        compatibility: &str,
        limits: &RuntimeLimits,
    ) -> std::io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self {
            folder,
            key,
            compatibility: compatibility.to_owned(),
            most: limits.artefact_mib.saturating_mul(1 << 20).saturating_add(1 << 10),
        })
    }

    fn name(&self, digest: &str) -> String {
        let bare = digest.strip_prefix("sha256:").unwrap_or(digest);
        format!("{bare}-{}.aot", self.compatibility.get(..32).unwrap_or(&self.compatibility))
    }

    fn mac(&self, name: &str, content: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(self.compatibility.as_bytes());
        mac.update(content);
        Some(mac)
    }

    /// The machine code of a component, if it was compiled before and nobody touched it since.
    pub(crate) fn get(&self, digest: &str) -> Option<Trusted> {
        let name = self.name(digest);
        let path = self.folder.join(&name);
        match fs::metadata(&path) {
            Ok(meta) if meta.len() <= self.most => {}
            _ => return None,
        }
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "cannot read machine code; compiling again");
                }
                return None;
            }
        };
        let verified = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_at_checked(MAC_LENGTH)).filter(
            |(mac, content)| self.mac(&name, content).is_some_and(|right| right.verify_slice(mac).is_ok()),
        );
        if verified.is_none() {
            tracing::warn!(path = %path.display(), "machine code is damaged or not ours; compiling again");
            return None;
        }
        let mut bytes = bytes;
        bytes.drain(..MAGIC.len() + MAC_LENGTH);
        Some(Trusted(bytes))
    }

    /// Keeps machine code. Failing to is a warning: the plugin serves all the same.
    pub(crate) fn put(&self, digest: &str, artefact: &Trusted) {
        let name = self.name(digest);
        if let Err(error) = self.write(&name, &artefact.0) {
            tracing::warn!(folder = %self.folder.display(), %error, "cannot keep machine code; it will be compiled again at the next start");
        }
    }

    fn write(&self, name: &str, artefact: &[u8]) -> std::io::Result<()> {
        let mac =
            self.mac(name, artefact).ok_or_else(|| std::io::Error::other("no key"))?.finalize().into_bytes();
        let temporary = self.folder.join(format!("{name}.{}.tmp", rand::random::<u64>()));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let written =
            [MAGIC.as_slice(), mac.as_slice(), artefact].iter().try_for_each(|part| file.write_all(part));
        drop(file);
        written.and_then(|()| fs::rename(&temporary, self.folder.join(name))).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(folder: &std::path::Path, key: u8) -> AotCache {
        AotCache::open(folder.join("aot"), [key; 32], &"c".repeat(64), &RuntimeLimits::default()).unwrap()
    }

    #[test]
    fn an_entry_comes_back_unless_a_bit_or_the_key_changed() {
        let folder = tempfile::tempdir().unwrap();
        let ours = cache(folder.path(), 1);
        assert!(ours.get("sha256:aa").is_none());
        ours.put("sha256:aa", &Trusted(b"code".to_vec()));
        assert_eq!(ours.get("sha256:aa").unwrap().0, b"code");
        assert!(cache(folder.path(), 2).get("sha256:aa").is_none(), "another key");

        let entry = folder.path().join("aot").join(ours.name("sha256:aa"));
        fs::copy(&entry, folder.path().join("aot").join(ours.name("sha256:bb"))).unwrap();
        assert!(ours.get("sha256:bb").is_none(), "an entry under another's name");

        let whole = fs::read(&entry).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&entry, bytes).unwrap();
            assert!(ours.get("sha256:aa").is_none(), "byte {at}");
        }
        fs::write(&entry, &whole[..10]).unwrap();
        assert!(ours.get("sha256:aa").is_none());
        ours.put("sha256:aa", &Trusted(b"code".to_vec()));
        assert_eq!(ours.get("sha256:aa").unwrap().0, b"code");
    }

    #[test]
    fn the_folder_is_the_daemons_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        cache(folder.path(), 1);
        assert_eq!(fs::metadata(folder.path().join("aot")).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
