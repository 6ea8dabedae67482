//! Cursors: where the next page starts, opaque to clients, bound to who asks and for what.
//!
//! `base64url(position ‖ first 16 bytes of MAC)`. The MAC covers the purpose, the owner, the filters and the position, so a
//! cursor that was changed, or is used by another user or with other filters, is 400 `bad-cursor` and reads nothing.

use archipel_identity::SiteKeys;
use archipel_model::audit::{AuditLink, AuditPlace};
use archipel_model::{OrderId, Owner, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::problem::{Answer, Problem, table};

const TAG_BYTES: usize = 16;

/// What a cursor is bound to.
pub(crate) struct Bound<'a> {
    keys: &'a SiteKeys,
    purpose: &'static str,
    filters: Vec<u8>,
}

impl<'a> Bound<'a> {
    /// `filters` is any text that differs where the filters differ.
    pub(crate) fn new(keys: &'a SiteKeys, purpose: &'static str, owner: &Owner, filters: &str) -> Self {
        let mut bytes = Vec::new();
        for part in [owner.issuer.as_str(), owner.subject.as_str(), filters] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        Self { keys, purpose, filters: bytes }
    }

    fn seal<const N: usize>(&self, position: [u8; N]) -> String {
        let mut bytes = position.to_vec();
        bytes.extend_from_slice(&self.tag(&position));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn open<const N: usize>(&self, text: &str) -> Answer<[u8; N]> {
        let bad = || {
            Problem::new(
                table::BAD_CURSOR,
                "this cursor was not given for this list, these filters and you; start again without it",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        let (position, tag) = bytes.split_at_checked(N).ok_or_else(bad)?;
        if !is_same(tag, &self.tag(position)) {
            return Err(bad());
        }
        position.try_into().map_err(|_| bad())
    }

    fn tag(&self, position: &[u8]) -> Vec<u8> {
        let mut bytes = self.filters.clone();
        bytes.extend_from_slice(position);
        self.keys.mac(self.purpose, &bytes).into_iter().take(TAG_BYTES).collect()
    }

    /// After this order.
    pub(crate) fn after_order(&self, id: OrderId) -> String {
        self.seal(*id.as_bytes())
    }

    /// The order that a cursor goes on after.
    pub(crate) fn order(&self, text: &str) -> Answer<OrderId> {
        self.open(text).map(OrderId::from_bytes)
    }

    /// After this place in the audit.
    pub(crate) fn after_place(&self, place: AuditPlace) -> String {
        let mut position = [0; 16];
        let (at, sequence) = position.split_at_mut(8);
        at.copy_from_slice(&place.at.as_millis().to_be_bytes());
        sequence.copy_from_slice(&place.sequence.to_be_bytes());
        self.seal(position)
    }

    /// The place in the audit that a cursor goes on after.
    pub(crate) fn place(&self, text: &str) -> Answer<AuditPlace> {
        let position: [u8; 16] = self.open(text)?;
        let at = Timestamp::from_millis(number_at(&position, 0).cast_signed());
        Ok(AuditPlace { at, sequence: number_at(&position, 8) })
    }

    /// After this link of the audit's chain.
    pub(crate) fn after_link(&self, link: &AuditLink) -> Answer<String> {
        let hash = hex::decode(&link.hash).ok().and_then(|hash| <[u8; 32]>::try_from(hash).ok());
        let hash = hash.ok_or_else(|| Problem::internal("a link of the chain has no hash"))?;
        let position = [&link.sequence.to_be_bytes(), &link.count.to_be_bytes(), hash.as_slice()].concat();
        let position: [u8; 48] =
            position.try_into().map_err(|_| Problem::internal("a link of the chain has no hash"))?;
        Ok(self.seal(position))
    }

    /// The link of the audit's chain that a cursor goes on after.
    pub(crate) fn link(&self, text: &str) -> Answer<AuditLink> {
        let position: [u8; 48] = self.open(text)?;
        let hash = hex::encode(position.get(16..).unwrap_or_default());
        Ok(AuditLink { sequence: number_at(&position, 0), hash, count: number_at(&position, 8) })
    }

    /// After this event.
    pub(crate) fn after_event(&self, sequence: u64) -> String {
        self.seal(sequence.to_be_bytes())
    }

    /// The event that a cursor goes on after.
    pub(crate) fn event(&self, text: &str) -> Answer<u64> {
        self.open(text).map(u64::from_be_bytes)
    }
}

/// Eight bytes of a position, as a number.
fn number_at(position: &[u8], from: usize) -> u64 {
    let bytes = position.get(from..).and_then(|rest| rest.first_chunk::<8>());
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Compares in a time that depends on the lengths alone.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(subject: &str) -> Owner {
        Owner { issuer: "i".into(), subject: subject.into() }
    }

    #[test]
    fn a_cursor_holds_for_one_list_one_user_and_one_set_of_filters() {
        let keys = SiteKeys::from_master(&[1; 32]);
        let id = OrderId::generate();
        let mine = Bound::new(&keys, "orders", &owner("alice"), "state=open");
        let cursor = mine.after_order(id);
        assert_eq!(mine.order(&cursor).unwrap(), id);
        for other in [
            Bound::new(&keys, "events", &owner("alice"), "state=open"),
            Bound::new(&keys, "orders", &owner("bob"), "state=open"),
            Bound::new(&keys, "orders", &owner("alice"), "state=closed"),
            Bound::new(&SiteKeys::from_master(&[2; 32]), "orders", &owner("alice"), "state=open"),
        ] {
            assert_eq!(other.order(&cursor).unwrap_err().row(), table::BAD_CURSOR);
        }
    }

    #[test]
    fn places_of_the_audit_are_read_back() {
        let keys = SiteKeys::from_master(&[1; 32]);
        let bound = Bound::new(&keys, "audit", &owner("alice"), "");
        let place = AuditPlace { at: Timestamp::from_millis(1_800_000_000_123), sequence: u64::MAX - 1 };
        assert_eq!(bound.place(&bound.after_place(place)).unwrap(), place);
        let link = AuditLink { sequence: 7 << 8, hash: "ab".repeat(32), count: 99 };
        assert_eq!(bound.link(&bound.after_link(&link).unwrap()).unwrap(), link);
    }

    #[test]
    fn a_changed_cursor_is_refused_whichever_bit_was_changed() {
        let keys = SiteKeys::from_master(&[1; 32]);
        let bound = Bound::new(&keys, "events", &owner("alice"), "");
        let good = URL_SAFE_NO_PAD.decode(bound.after_event(42)).unwrap();
        for at in 0..good.len() * 8 {
            let mut bent = good.clone();
            bent[at / 8] ^= 1 << (at % 8);
            assert!(bound.event(&URL_SAFE_NO_PAD.encode(bent)).is_err());
        }
        for bad in ["", "!", "AAAA", &bound.after_order(OrderId::generate())] {
            assert!(bound.event(bad).is_err(), "{bad}");
        }
    }
}
