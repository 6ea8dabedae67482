//! The cache of machine code, in a folder that only the daemon may write.
//!
//! An entry is named by all that it was made from ([`Recipe`]: the component, what prepared it, the engine, this build of
//! the host, the bounds of files) and carries a MAC over name and content, with a key that is kept outside the folder:
//! loading machine code means running it, so whoever can write the folder must not be able to make an entry. A damaged or
//! foreign entry is a warning and a new compile. What nobody asked for in [`KEPT`] is deleted at the next start.
//!
//! Beside the code lies what the check found, so that a component that is in the cache is not parsed again.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::job::{Answer, Done};
use crate::limits::RuntimeLimits;
use crate::refusal::Refusal;

const MAGIC: &[u8; 8] = b"ARCHAOT2";
const MAC_LENGTH: usize = 32;

/// How long an entry is kept that nobody asks for.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// This build of the host: its version, and a hash over the sources that decide what is made of a component.
const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("ARCHIPEL_RUNTIME_BUILD"));

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

/// What an entry is made from, beside engine and host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recipe<'a> {
    /// The component as it is, or no code at all where its configuration decides.
    Load,
    /// The component as it is.
    Plain,
    /// The component prepared with a configuration and files.
    Prepared {
        /// The configuration as JSON.
        config: &'a str,
        /// Path and contents.
        files: &'a [(String, Vec<u8>)],
    },
}

/// The cache.
#[derive(Clone)]
pub(crate) struct AotCache {
    folder: PathBuf,
    key: [u8; 32],
    /// Of engine, host and bounds.
    base: String,
    most: u64,
}

impl AotCache {
    /// Opens the folder, making it if need be, and deletes what nobody wants any more.
    pub(crate) fn open(
        folder: PathBuf,
        key: [u8; 32],
        compatibility: &str,
        limits: &RuntimeLimits,
    ) -> std::io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        forget(&folder, SystemTime::now());
        Ok(Self {
            folder,
            key,
            base: format!("{compatibility}\n{BUILD}\n{}", limits.of_files()),
            most: limits.artefact_mib.saturating_mul(1 << 20).saturating_add(1 << 20),
        })
    }

    /// The name of an entry.
    fn name(&self, digest: &str, recipe: Recipe<'_>) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(bytes);
        };
        part(self.base.as_bytes());
        part(digest.as_bytes());
        match recipe {
            Recipe::Load => part(b"load"),
            Recipe::Plain => part(b"plain"),
            Recipe::Prepared { config, files } => {
                part(b"prepared");
                part(config.as_bytes());
                for (path, contents) in files {
                    part(path.as_bytes());
                    part(contents);
                }
            }
        }
        let bare = digest.strip_prefix("sha256:").unwrap_or(digest);
        format!("{}-{}.aot", bare.get(..16).unwrap_or(bare), hex::encode(hash.finalize()))
    }

    fn mac(&self, name: &str, content: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(content);
        Some(mac)
    }

    /// What was made before, if nobody touched it since.
    pub(crate) fn get(&self, digest: &str, recipe: Recipe<'_>) -> Option<(Done, Trusted)> {
        let name = self.name(digest, recipe);
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
        let Some((_, content)) = verified else {
            tracing::warn!(path = %path.display(), "machine code is damaged or not ours; compiling again");
            return None;
        };
        let Ok((Answer::Done(done), code)) = Answer::read(content) else { return None };
        // Kept from being forgotten; where that fails it is compiled again some day.
        let _ = fs::File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        Some((*done, Trusted(code)))
    }

    /// Keeps machine code. Failing to is a warning: the plugin serves all the same.
    pub(crate) fn put(&self, digest: &str, recipe: Recipe<'_>, done: &Done, artefact: &Trusted) {
        let name = self.name(digest, recipe);
        let mut content = Vec::new();
        let written = Answer::Done(Box::new(done.clone()))
            .write(&mut content, &artefact.0)
            .and_then(|()| self.write(&name, &content));
        if let Err(error) = written {
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

/// Deletes entries that nobody asked for in a long time. Failing to is no harm.
fn forget(folder: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let used = entry.metadata().and_then(|meta| meta.modified());
        if used.is_ok_and(|used| now.duration_since(used).is_ok_and(|unused| unused > KEPT)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Checked;
    use crate::job::Start;

    fn cache(folder: &Path, key: u8) -> AotCache {
        AotCache::open(folder.join("aot"), [key; 32], &"c".repeat(64), &RuntimeLimits::default()).unwrap()
    }

    fn done() -> Done {
        let manifest = br#"{"name":"a","version":"1.0.0","sdk":"s","wit":"0.1.0","interfaces":[]}"#;
        let checked = Checked {
            digest: "sha256:aa".into(),
            manifest: crate::manifest::parse(manifest).unwrap(),
            scan: Default::default(),
        };
        Done { checked, start: Some(Start::Plain), log: vec![] }
    }

    const PLAIN: Recipe<'_> = Recipe::Plain;

    #[test]
    fn an_entry_comes_back_unless_a_bit_or_the_key_changed() {
        let folder = tempfile::tempdir().unwrap();
        let ours = cache(folder.path(), 1);
        assert!(ours.get("sha256:aa", PLAIN).is_none());
        let put = || ours.put("sha256:aa", PLAIN, &done(), &Trusted(b"code".to_vec()));
        put();
        let (found, code) = ours.get("sha256:aa", PLAIN).unwrap();
        assert_eq!((found, code.0.as_slice()), (done(), b"code".as_slice()));
        assert!(cache(folder.path(), 2).get("sha256:aa", PLAIN).is_none(), "another key");

        let entry = folder.path().join("aot").join(ours.name("sha256:aa", PLAIN));
        fs::copy(&entry, folder.path().join("aot").join(ours.name("sha256:bb", PLAIN))).unwrap();
        assert!(ours.get("sha256:bb", PLAIN).is_none(), "an entry under another's name");

        let whole = fs::read(&entry).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&entry, bytes).unwrap();
            assert!(ours.get("sha256:aa", PLAIN).is_none(), "byte {at}");
        }
        fs::write(&entry, &whole[..10]).unwrap();
        assert!(ours.get("sha256:aa", PLAIN).is_none());
        put();
        assert!(ours.get("sha256:aa", PLAIN).is_some());
    }

    #[test]
    fn an_entry_is_for_what_it_was_made_from_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let ours = cache(folder.path(), 1);
        let files = [("p.rego".to_owned(), b"allow".to_vec())];
        let with = |config, files| ours.name("sha256:aa", Recipe::Prepared { config, files });
        let bounds = RuntimeLimits { nesting: 9, ..RuntimeLimits::default() };
        let open = |compatibility: &str, limits: &RuntimeLimits| {
            let other = AotCache::open(folder.path().join("aot"), [1; 32], compatibility, limits).unwrap();
            other.name("sha256:aa", PLAIN)
        };
        let names = [
            ours.name("sha256:aa", PLAIN),
            ours.name("sha256:bb", PLAIN),
            ours.name("sha256:aa", Recipe::Load),
            with("{}", &[]),
            with("{}", &files),
            with("{\"a\":1}", &files),
            with("{}", &[("p.rego".to_owned(), b"deny".to_vec())]),
            with("{}", &[("q.rego".to_owned(), b"allow".to_vec())]),
            open(&"d".repeat(64), &RuntimeLimits::default()),
            open(&"c".repeat(64), &bounds),
        ];
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{index}");
        }
        let slower = RuntimeLimits { aaa_deadline_ms: 1, ..RuntimeLimits::default() };
        assert_eq!(open(&"c".repeat(64), &slower), names[0], "deadlines do not change code");
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let ours = cache(folder.path(), 1);
        for digest in ["sha256:aa", "sha256:bb"] {
            ours.put(digest, PLAIN, &done(), &Trusted(b"code".to_vec()));
            let entry = folder.path().join("aot").join(ours.name(digest, PLAIN));
            let long_ago = SystemTime::now() - KEPT - Duration::from_secs(1);
            fs::File::options().append(true).open(entry).unwrap().set_modified(long_ago).unwrap();
        }
        assert!(ours.get("sha256:bb", PLAIN).is_some(), "used, and so kept");
        let again = cache(folder.path(), 1);
        assert!(again.get("sha256:aa", PLAIN).is_none());
        assert!(again.get("sha256:bb", PLAIN).is_some());
    }

    #[test]
    fn the_folder_is_the_daemons_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        cache(folder.path(), 1);
        assert_eq!(fs::metadata(folder.path().join("aot")).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
