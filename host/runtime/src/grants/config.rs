//! `[grants.NAME]` as it is written.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use archipel_egress::{OriginPattern, PrivateAccess};
use archipel_vault::SecretRule;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What the administrator gives to a plugin of this name. Everything is empty unless written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrantConfig {
    /// Origins that may be asked.
    pub hosts: Vec<OriginPattern>,
    /// Private addresses that these origins may lead to.
    pub private: PrivateAccess,
    /// A PEM file, relative to the site file: certificates of these origins must come from its authorities, and those of
    /// the machine and of the site count for nothing.
    pub ca: Option<PathBuf>,
    /// Where each secret may go.
    pub secrets: Vec<SecretRule>,
    /// Secrets of the site whose bytes the plugin may see. Each time is in the audit. Rather bind them in `secrets`.
    pub reveal: Vec<String>,
    /// Bytes of durable storage.
    pub storage: ByteSize,
    /// Purposes to sign for.
    pub crypto: Vec<SigningGrant>,
    /// Folders whose files `lifecycle.init` gets, relative to the site file.
    pub folders: Vec<String>,
    /// Which components of this name are accepted; by default `digest` where secrets or purposes are granted, else
    /// `capabilities`.
    pub pin: Option<Pin>,
    /// Digests, as `sha256:HEX`: under `pin = "digest"` all that may serve, under `pin = "capabilities"` those that may ask for
    /// more than the version before.
    pub accept: Vec<String>,
}

impl GrantConfig {
    /// The pin that counts. A replaced file must not inherit secrets by its name alone.
    pub fn effective_pin(&self) -> Pin {
        match &self.pin {
            Some(pin) => pin.clone(),
            None if self.secrets.is_empty() && self.reveal.is_empty() && self.crypto.is_empty() => {
                Pin::Capabilities
            }
            None => Pin::Digest,
        }
    }

    /// Whether a component with this digest (`sha256:HEX` or bare hex) is accepted as far as its digest says.
    /// A `key:` pin looks at signatures alone.
    pub fn accepts_digest(&self, digest: &str) -> bool {
        match self.effective_pin() {
            Pin::Capabilities => true,
            Pin::Digest => self.lists(digest),
            Pin::Key(_) => false,
        }
    }

    /// Whether `accept` lists this digest.
    pub fn lists(&self, digest: &str) -> bool {
        let bare = |text: &str| text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
        self.accept.iter().any(|accepted| bare(accepted) == bare(digest))
    }
}

/// A purpose to sign for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningGrant {
    /// Its name.
    pub purpose: String,
    /// The longest life of a token, in seconds.
    pub lifetime_s_max: u32,
}

/// Which components of a name are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Any that asks for the same or less.
    Capabilities,
    /// Those listed in `accept`.
    Digest,
    /// Those signed by this key.
    Key(String),
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capabilities => f.write_str("capabilities"),
            Self::Digest => f.write_str("digest"),
            Self::Key(id) => write!(f, "key:{id}"),
        }
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("key:")) {
            ("capabilities", _) => Ok(Self::Capabilities),
            ("digest", _) => Ok(Self::Digest),
            (_, Some(id)) if !id.is_empty() => Ok(Self::Key(id.to_owned())),
            _ => Err(format!("{text:?} is not a pin; write \"capabilities\", \"digest\" or \"key:ID\"")),
        }
    }
}

impl Serialize for Pin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A number of bytes: `4194304`, `"512 KiB"`, `"4 MiB"`, `"1 GiB"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || {
            format!("{text:?} is not a size; write a number of bytes, \"512 KiB\", \"4 MiB\" or \"1 GiB\"")
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(fail)?;
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(fail()),
        };
        number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).map(Self).ok_or_else(fail)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{} {unit}", self.0 >> shift);
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes or a size such as \"4 MiB\"")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<ByteSize, E> {
                u64::try_from(value).map(ByteSize).map_err(|_| E::custom("a size cannot be negative"))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<ByteSize, E> {
                value.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_grant_is_read() {
        let grant: GrantConfig = toml::from_str(
            r#"
            hosts = ["https://keystone.test:5000", "https://*.cloud.test"]
            private = ["10.1.0.0/16"]
            storage = "4 MiB"
            secrets = [{ name = "admin", origin = "https://keystone.test:5000", methods = ["POST"], path = "/v3/auth/tokens", placement = "json" }]
            crypto = [{ purpose = "session", lifetime_s_max = 3600 }]
            folders = ["policies"]
            pin = "capabilities"
            "#,
        )
        .unwrap();
        assert_eq!(grant.storage, ByteSize(4 << 20));
        assert_eq!(grant.effective_pin(), Pin::Capabilities);
        assert_eq!(grant.hosts.len(), 2);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = toml::from_str::<GrantConfig>("host = []").unwrap_err().to_string();
        assert!(error.contains("host") && error.contains("hosts"), "{error}");
    }

    #[test]
    fn secrets_and_purposes_pin_by_digest_unless_told_otherwise() {
        let grant: GrantConfig = toml::from_str(
            "crypto = [{ purpose = \"session\", lifetime_s_max = 60 }]\naccept = [\"sha256:AB\"]",
        )
        .unwrap();
        assert_eq!(grant.effective_pin(), Pin::Digest);
        assert!(grant.accepts_digest("ab") && grant.accepts_digest("sha256:ab"));
        assert!(!grant.accepts_digest("sha256:cd"));
        assert!(GrantConfig::default().accepts_digest("sha256:cd"));
        let keyed = GrantConfig { pin: Some(Pin::Key("k".into())), ..GrantConfig::default() };
        assert!(!keyed.accepts_digest("sha256:cd"));
    }

    #[test]
    fn sizes_are_read_and_written_in_binary_units() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("512 KiB", 512 << 10), ("4MiB", 4 << 20), ("1 GiB", 1 << 30)]
        {
            assert_eq!(text.parse::<ByteSize>().unwrap().0, bytes, "{text}");
        }
        for wrong in ["", "MiB", "4 MB", "-1", "99999999999 GiB", "1.5 MiB"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
        assert_eq!(ByteSize(4 << 20).to_string(), "4 MiB");
        assert_eq!(ByteSize(1500).to_string(), "1500 B");
    }
}
