//! Every collection of the store, by the prefix of its keys (see `keys`), and what an export makes of it.

use archipel_model::{OrderId, SessionId};

use crate::engine::Key;
use crate::judge::sequence_of;

/// One collection.
#[derive(Debug)]
pub(super) struct Collection {
    /// With which its keys begin.
    pub(super) prefix: &'static [u8],
    /// In exports and for people. Never changes.
    pub(super) name: &'static str,
    pub(super) holds: Holds,
}

/// What lies under the keys of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Records with a version, under such keys. Exported.
    Records(Keys),
    /// Records with a version, behind the hash of the one before (see `chain`). Exported.
    Chained(Keys),
    /// Bytes that mean nothing here. Exported.
    Bytes(Keys),
    /// Numbers of eight bytes. Exported.
    Numbers(Keys),
    /// Index entries, which follow from records. An import makes them anew.
    Index {
        /// Whether entries may stay behind that lead nowhere any more, until retention removes them.
        leftovers: bool,
    },
    /// Sums, which follow from records. An import makes them anew.
    Sums,
    /// What only the process that runs has a use for.
    Passing,
    /// What the store says of itself. In an export's header, as far as it is kept.
    Label,
}

/// What the keys of an exported collection are, after the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Any bytes, written in hexadecimal.
    Hex,
    /// 16 bytes, written as a UUID.
    Id,
    /// 8 bytes, written as a number.
    Sequence,
    /// 32 bytes, written in hexadecimal.
    Digest,
    /// 32 bytes and a number of two, written `HEX/NUMBER`.
    Part,
    /// Text.
    Text,
    /// A binding's name with its length before it, and the plugin's key.
    Plugin,
}

const fn index(prefix: &'static [u8], name: &'static str) -> Collection {
    Collection { prefix, name, holds: Holds::Index { leftovers: false } }
}

const fn of(prefix: &'static [u8], name: &'static str, holds: Holds) -> Collection {
    Collection { prefix, name, holds }
}

/// All of them, by prefix.
pub(super) static ALL: [Collection; 44] = [
    index(b"aa/", "index: audit by address"),
    of(b"ac/", "audit chain", Holds::Bytes(Keys::Text)),
    of(b"ad/", "audit", Holds::Chained(Keys::Sequence)),
    index(b"ao/", "index: audit by order"),
    index(b"at/", "index: audit by time"),
    index(b"au/", "index: audit by user"),
    of(b"ce/", "epochs", Holds::Numbers(Keys::Text)),
    index(b"ch/", "index: children"),
    of(b"cl/", "claims", Holds::Passing),
    of(b"cn/", "sums: children", Holds::Sums),
    of(b"e/", "events", Holds::Records(Keys::Sequence)),
    index(b"eg/", "index: events by group"),
    index(b"eo/", "index: events by owner"),
    index(b"es/", "index: events by order"),
    of(b"ha/", "address history", Holds::Records(Keys::Hex)),
    index(b"he/", "index: address history by end"),
    of(b"i/", "idempotency keys", Holds::Records(Keys::Digest)),
    of(b"ip/", "idempotency parts", Holds::Bytes(Keys::Part)),
    of(b"it/", "index: idempotency keys by time", Holds::Index { leftovers: true }),
    index(b"l/", "index: open orders"),
    of(b"m/", "label", Holds::Label),
    of(b"nf/", "outgoing requests forgotten", Holds::Numbers(Keys::Id)),
    of(b"ng/", "outgoing requests", Holds::Records(Keys::Hex)),
    of(b"o/", "orders", Holds::Records(Keys::Id)),
    index(b"or/", "index: orders by origin"),
    of(b"p/", "plugin storage", Holds::Bytes(Keys::Plugin)),
    of(b"pb/", "sums: plugin storage", Holds::Sums),
    of(b"pp/", "publishers' places", Holds::Numbers(Keys::Text)),
    of(b"s/", "sessions", Holds::Records(Keys::Id)),
    index(b"sc/", "index: sessions by parent"),
    index(b"se/", "index: sessions by end"),
    index(b"so/", "index: sessions by owner"),
    of(b"t/", "revoked tokens", Holds::Numbers(Keys::Digest)),
    of(b"te/", "index: revoked tokens by end", Holds::Index { leftovers: true }),
    of(b"u/", "sums: usage", Holds::Sums),
    of(b"ua/", "usage accounts", Holds::Records(Keys::Id)),
    index(b"ue/", "index: usage accounts by end"),
    of(b"uh/", "usage steps", Holds::Records(Keys::Hex)),
    of(b"ui/", "usage of lines", Holds::Bytes(Keys::Hex)),
    of(b"ul/", "usage lines", Holds::Records(Keys::Digest)),
    of(b"um/", "sums: usage of lines", Holds::Sums),
    index(b"uo/", "index: usage accounts by owner"),
    index(b"x/", "index: closed orders"),
    index(b"xt/", "index: closed orders by time"),
];

/// The collection of a key; `None` for one that this program does not know.
pub(super) fn collection_of(key: &[u8]) -> Option<&'static Collection> {
    let slash = key.iter().position(|byte| *byte == b'/')?;
    let prefix = key.get(..=slash)?;
    ALL.iter().find(|collection| collection.prefix == prefix)
}

/// The collection of a name.
pub(super) fn named(name: &str) -> Option<&'static Collection> {
    ALL.iter().find(|collection| collection.name == name)
}

impl Collection {
    /// How its keys are written in an export; `None` where it is not exported.
    pub(super) const fn keys(&self) -> Option<Keys> {
        match self.holds {
            Holds::Records(keys) | Holds::Chained(keys) | Holds::Bytes(keys) | Holds::Numbers(keys) => {
                Some(keys)
            }
            Holds::Index { .. } | Holds::Sums | Holds::Passing | Holds::Label => None,
        }
    }

    /// A key as a person can say it.
    pub(super) fn said(&self, key: &[u8]) -> String {
        let rest = key.get(self.prefix.len()..).unwrap_or_default();
        match self.keys().and_then(|keys| keys.written(rest)) {
            Some((Some(binding), key)) => format!("{binding}: {key}"),
            Some((None, key)) => key,
            None => hex::encode(rest),
        }
    }
}

impl Keys {
    /// What follows the prefix, as text; the binding's name apart. `None` where it has not this form.
    pub(super) fn written(self, rest: &[u8]) -> Option<(Option<String>, String)> {
        let text = match self {
            Self::Hex => hex::encode(rest),
            Self::Id => OrderId::from_bytes(rest.try_into().ok()?).to_string(),
            Self::Sequence => sequence_of(rest).filter(|_| rest.len() == 8)?.to_string(),
            Self::Digest => (rest.len() == 32).then(|| hex::encode(rest))?,
            Self::Part => {
                let (digest, part) = rest.split_at_checked(32)?;
                format!("{}/{}", hex::encode(digest), u16::from_be_bytes(part.try_into().ok()?))
            }
            Self::Text => std::str::from_utf8(rest).ok()?.to_owned(),
            Self::Plugin => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let (binding, key) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
                let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
                return Some((Some(text(binding)?), text(key)?));
            }
        };
        Some((None, text))
    }

    /// The opposite.
    pub(super) fn read(self, binding: Option<&str>, text: &str) -> Option<Key> {
        if binding.is_some() != (self == Self::Plugin) {
            return None;
        }
        let digest = |text: &str| hex::decode(text).ok().filter(|bytes| bytes.len() == 32);
        match self {
            Self::Hex => hex::decode(text).ok(),
            Self::Id => text.parse::<SessionId>().ok().map(|id| id.as_bytes().to_vec()),
            Self::Sequence => text.parse::<u64>().ok().map(|number| number.to_be_bytes().to_vec()),
            Self::Digest => digest(text),
            Self::Part => {
                let (of, part) = text.split_once('/')?;
                Some([digest(of)?.as_slice(), &part.parse::<u16>().ok()?.to_be_bytes()].concat())
            }
            Self::Text => Some(text.as_bytes().to_vec()),
            Self::Plugin => {
                let binding = binding?.as_bytes();
                let length = u16::try_from(binding.len()).ok()?.to_be_bytes();
                Some([length.as_slice(), binding, text.as_bytes()].concat())
            }
        }
    }
}

/// The prefixes of all that is exported.
pub(super) fn exported() -> Vec<&'static [u8]> {
    ALL.iter().filter(|collection| collection.keys().is_some()).map(|collection| collection.prefix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_stand_in_the_order_of_their_keys_and_have_names_of_their_own() {
        assert!(ALL.is_sorted_by(|one, next| one.prefix < next.prefix));
        for collection in &ALL {
            assert!(std::ptr::eq(named(collection.name).unwrap(), collection), "{}", collection.name);
            let key = [collection.prefix, b"a/b"].concat();
            assert!(std::ptr::eq(collection_of(&key).unwrap(), collection));
        }
        assert!(collection_of(b"new/x").is_none() && collection_of(b"\0stamp").is_none());
    }

    #[test]
    fn every_prefix_that_keys_are_made_with_has_its_collection() {
        let source = include_str!("../keys.rs");
        let code = source.split("#[cfg(test)]").next().unwrap();
        let prefixes: Vec<&str> = code
            .split("b\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|text| text.contains('/'))
            .collect();
        assert!(prefixes.len() >= ALL.len() && prefixes.contains(&"o/"), "{prefixes:?}");
        for prefix in prefixes.into_iter().filter(|prefix| *prefix != "/") {
            assert!(
                collection_of(prefix.as_bytes()).is_some(),
                "{prefix} lies in no collection of the catalogue"
            );
        }
    }

    #[test]
    fn every_form_of_key_is_read_as_it_is_written() {
        let digest = [7_u8; 32];
        let plugin = crate::keys::plugin("cloud/a/b", "machine/ü");
        let cases: [(Keys, &[u8]); 7] = [
            (Keys::Hex, &[0, 255, 7]),
            (Keys::Id, &[3; 16]),
            (Keys::Sequence, &[0, 0, 0, 0, 0, 1, 2, 3]),
            (Keys::Digest, &digest),
            (Keys::Part, &[digest.as_slice(), &[1, 2]].concat()),
            (Keys::Text, "cloud-1".as_bytes()),
            (Keys::Plugin, &plugin[2..]),
        ];
        for (keys, bytes) in cases {
            let (binding, text) = keys.written(bytes).unwrap();
            assert_eq!(keys.read(binding.as_deref(), &text).as_deref(), Some(bytes), "{keys:?}: {text}");
        }
        assert!(Keys::Id.written(&[1; 15]).is_none() && Keys::Sequence.written(&[1; 9]).is_none());
        assert!(Keys::Text.read(Some("x"), "y").is_none() && Keys::Plugin.read(None, "y").is_none());
    }
}
