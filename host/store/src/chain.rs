//! A log that shows whether it was tampered with: each entry holds the hash of the one before it.
//!
//! ```text
//! entry  = hash of the entry before (32 bytes; zeros for the first) ‖ what was appended
//! hash   = SHA-256("archipel-chain-1" ‖ sequence (8 bytes, big-endian) ‖ entry)
//! head   = sequence of the newest (8) ‖ its hash (32) ‖ how many were ever appended (8)
//! ```
//!
//! What is hashed is what lies in the store, byte for byte, so nothing has to be brought into a canonical form first. The
//! sequence is hashed with it, so an entry cannot be moved. The head is written with each entry, in the same commit: it
//! tells when entries at the end are missing. Whoever can write all of the store can also make a whole new chain; that
//! shows only where a head was noted elsewhere.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A hash.
pub(crate) type Hash = [u8; 32];

/// The hash before the first entry.
pub(crate) const NOTHING: Hash = [0; 32];

/// What an entry costs beside what was appended.
pub(crate) const OVERHEAD: usize = 32 + HEAD_BYTES;

const HEAD_BYTES: usize = 48;
const PURPOSE: &[u8] = b"archipel-chain-1";

/// The newest entry of a chain, or any other place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) sequence: u64,
    pub(crate) hash: Hash,
    /// Entries up to here, forgotten ones too.
    pub(crate) count: u64,
}

impl Head {
    /// Before the first entry.
    pub(crate) const START: Self = Self { sequence: 0, hash: NOTHING, count: 0 };

    /// From its key's value; a chain without one has not begun.
    pub(crate) fn read(value: Option<&Bytes>) -> Self {
        let read = || {
            let (sequence, rest) = value?.split_first_chunk::<8>()?;
            let (hash, rest) = rest.split_first_chunk::<32>()?;
            let count = <[u8; 8]>::try_from(rest).ok()?;
            Some(Self {
                sequence: u64::from_be_bytes(*sequence),
                hash: *hash,
                count: u64::from_be_bytes(count),
            })
        };
        read().unwrap_or(Self::START)
    }

    /// As it is written.
    pub(crate) fn bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.hash);
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes.into()
    }

    /// The entry that comes next, as it is stored, and the place after it.
    pub(crate) fn link(&self, sequence: u64, value: &[u8]) -> (Bytes, Self) {
        let entry: Bytes = [self.hash.as_slice(), value].concat().into();
        let next = self.after(sequence, &entry);
        (entry, next)
    }

    /// The place after a stored entry.
    pub(crate) fn after(&self, sequence: u64, entry: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(PURPOSE);
        hasher.update(sequence.to_be_bytes());
        hasher.update(entry);
        Self { sequence, hash: hasher.finalize().into(), count: self.count.saturating_add(1) }
    }
}

/// A stored entry as the hash of the one before and what was appended; `None` where it is too short to be one.
pub(crate) fn split(entry: &Bytes) -> Option<(Hash, Bytes)> {
    let before = *entry.first_chunk::<32>()?;
    Some((before, entry.slice(32..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_the_page_says() {
        let (entry, head) = Head::START.link(256, b"x");
        let said = Sha256::digest([PURPOSE, &256_u64.to_be_bytes(), &[0; 32], b"x"].concat());
        assert_eq!(head.hash, said.as_slice());
        assert_eq!(split(&entry), Some((NOTHING, Bytes::from_static(b"x"))));
        let (second, next) = head.link(512, b"y");
        assert_eq!(split(&second).map(|(before, _)| before), Some(head.hash));
        assert_eq!(Head::read(Some(&next.bytes())), next);
        assert_eq!((next.count, Head::read(None)), (2, Head::START));
    }

    #[test]
    fn another_sequence_another_value_or_another_entry_before_is_another_hash() {
        let (_, one) = Head::START.link(1, b"x");
        for other in [Head::START.link(2, b"x").1, Head::START.link(1, b"y").1, one.link(1, b"x").1] {
            assert_ne!(other.hash, one.hash);
        }
    }
}
