//! Looks for files, by every trick with paths.

use archipel_sdk::Error;
use hostile_corpus::{Attack, Config, component};

struct Looks;

impl Attack for Looks {
    fn attack(_: &Config) -> archipel_sdk::Result<String> {
        let tried = [
            "/etc/passwd",
            "etc/passwd",
            "../../../../etc/passwd",
            "/",
            ".",
            "/proc/self/environ",
            "//etc//passwd",
            "/./../etc/passwd/",
            "/plugins/../site.toml",
            "site.toml",
            "/data/keys",
            "\\\\?\\C:\\",
            "/dev/stdin",
        ];
        let found: Vec<&str> = tried
            .into_iter()
            .filter(|path| {
                std::fs::metadata(path).is_ok()
                    || std::fs::read_dir(path).is_ok()
                    || std::fs::File::open(path).is_ok()
            })
            .collect();
        let written = std::fs::write("/tmp/owned", b"owned").is_ok() || std::fs::create_dir("owned").is_ok();
        let variables = std::env::vars().count() + std::env::args().count();
        if found.is_empty() && !written && variables == 0 {
            return Err(Error::forbidden("no file, no variable and no argument was found"));
        }
        Ok(format!("found {found:?}, wrote {written}, {variables} variables"))
    }
}

component!(Looks);
