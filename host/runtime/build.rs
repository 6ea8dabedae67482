//! Tells the code which build of the host it is, as far as that decides what is made of a component: a hash over the
//! sources of this crate, the contract and the locked dependencies. Machine code of another build is not used.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

const SOURCES: [&str; 4] = ["src", "../bindings/src", "../../wit", "../../Cargo.lock"];

fn main() {
    let mut files = BTreeSet::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        collect(Path::new(source), &mut files);
    }
    // Not for secrets: two builds should differ, and nobody gains by making them alike.
    let mut hasher = DefaultHasher::new();
    for file in files {
        hasher.write(file.to_string_lossy().as_bytes());
        hasher.write(&std::fs::read(&file).unwrap_or_default());
    }
    for name in ["TARGET", "OPT_LEVEL", "DEBUG"] {
        hasher.write(std::env::var(name).unwrap_or_default().as_bytes());
    }
    println!("cargo::rustc-env=ARCHIPEL_RUNTIME_BUILD={:016x}", hasher.finish());
}

fn collect(path: &Path, into: &mut BTreeSet<PathBuf>) {
    match std::fs::read_dir(path) {
        Ok(entries) => {
            for entry in entries.filter_map(Result::ok) {
                collect(&entry.path(), into);
            }
        }
        Err(_) => {
            into.insert(path.to_owned());
        }
    }
}
