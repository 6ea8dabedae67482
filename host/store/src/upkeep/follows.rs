//! What follows from a record: the index entries that must be there because it is. The collections write them in the
//! same commit; here it is said once more, from the other side, so that a check can compare and an import can make them
//! anew.

use archipel_identity::store::Session;
use archipel_model::audit::{AddressUse, AuditRecord};
use archipel_model::egress::EgressEntry;
use archipel_model::order::State;
use archipel_model::{Error, Timestamp};
use archipel_orders::usage::{Account, Line};
use bytes::Bytes;

use super::catalogue::{Collection, Holds};
use crate::claims::Holder;
use crate::engine::Key;
use crate::judge::{log_key, sequence_of};
use crate::keys::{self, Scope};
use crate::orders::{Kept, Stored, StoredEvent, counted_in};
use crate::record::{Record, decode};
use crate::{addresses, audit, usage};

/// What must be there beside a record.
#[derive(Debug, Default)]
pub(super) struct Follows {
    /// Keys with exactly these values.
    pub(super) entries: Vec<(Key, Bytes)>,
    /// Keys with any value.
    pub(super) parts: Vec<Key>,
    /// Sums that it adds to, with how much.
    pub(super) sums: Vec<(Key, u64)>,
}

impl Follows {
    fn indexed(keys: impl IntoIterator<Item = Key>) -> Self {
        let entries = keys.into_iter().map(|key| (key, Bytes::new())).collect();
        Self { entries, ..Self::default() }
    }
}

/// Reads what lies under a key, and says what follows from it.
///
/// # Errors
/// When it cannot be read, or is not what its key says.
pub(super) fn follows(collection: &Collection, key: &[u8], value: &[u8]) -> Result<Follows, Error> {
    let misplaced = || Error::internal("it lies under the key of another");
    match (collection.holds, collection.prefix) {
        (Holds::Records(_), b"o/") => {
            let stored: Stored = decode(value)?;
            match keys::order(stored.order.id) == key {
                true => Ok(of_order(&stored)),
                false => Err(misplaced()),
            }
        }
        (Holds::Records(_), b"e/") => {
            let event: StoredEvent = decode(value)?;
            let sequence = sequence_of(key).ok_or_else(misplaced)?;
            Ok(Follows::indexed(event.indexes().iter().map(|index| log_key(index, sequence))))
        }
        (Holds::Records(_), b"i/") => {
            let kept: Kept = decode(value)?;
            let digest = keys::idempotency_digest(&kept.scope);
            if keys::idempotency(&digest) != key {
                return Err(misplaced());
            }
            let mut follows = Follows::indexed([keys::idempotency_at(kept.record.created_at, &digest)]);
            follows.parts = (0..kept.parts).map(|part| keys::idempotency_part(&digest, part)).collect();
            Ok(follows)
        }
        (Holds::Records(_), b"s/") => {
            let session: Session = decode(value)?;
            match keys::session(session.id) == key {
                true => Ok(Follows::indexed(keys::session_indexes(&session))),
                false => Err(misplaced()),
            }
        }
        (Holds::Chained(_), _) => {
            let record = audit::record_of(&Bytes::copy_from_slice(value))?;
            let sequence = sequence_of(key).ok_or_else(misplaced)?;
            Ok(Follows::indexed(audit::indexes(&record, sequence)))
        }
        (Holds::Records(_), b"ha/") => {
            let used: AddressUse = decode(value)?;
            match addresses::key_of(&used) == key {
                true => Ok(Follows::indexed(addresses::index_of(&used))),
                false => Err(misplaced()),
            }
        }
        (Holds::Records(_), b"ua/") => {
            let account: Account = decode(value)?;
            match keys::account(account.order) == key {
                true => Ok(Follows::indexed(usage::account_indexes(&account))),
                false => Err(misplaced()),
            }
        }
        (Holds::Records(_), b"ul/") => {
            let line: Line = decode(value)?;
            match usage::line_key(&line) == key {
                true => Ok(Follows::default()),
                false => Err(misplaced()),
            }
        }
        (Holds::Records(_), b"ng/") => {
            let entry: EgressEntry = decode(value)?;
            match entry.order.map(keys::egress) {
                Some(log) if key.starts_with(&log) => Ok(Follows::default()),
                _ => Err(misplaced()),
            }
        }
        (Holds::Records(_), b"uh/") => decode::<usage::Step>(value).map(|_| Follows::default()),
        (Holds::Bytes(_), b"ui/") => match usage::sums_of(key) {
            Some(_) => Ok(Follows::default()),
            None => Err(misplaced()),
        },
        (Holds::Records(_), _) => Err(Error::internal("nothing is known of such records")),
        (Holds::Numbers(_), prefix) => {
            let number = <[u8; 8]>::try_from(value).map_err(|_| Error::internal("it is not a number"))?;
            let digest = key.get(prefix.len()..).and_then(|rest| <[u8; 32]>::try_from(rest).ok());
            Ok(match digest.filter(|_| prefix == b"t/") {
                Some(sha256) => {
                    let until = Timestamp::from_millis(i64::from_be_bytes(number));
                    Follows::indexed([keys::token_end(until, &sha256)])
                }
                None => Follows::default(),
            })
        }
        (Holds::Passing, b"cl/") => decode::<Holder>(value).map(|_| Follows::default()),
        _ => Ok(Follows::default()),
    }
}

fn of_order(stored: &Stored) -> Follows {
    let order = &stored.order;
    let is_closed = order.state == State::Closed;
    let listed = Scope::of(order).into_iter().map(|scope| match is_closed {
        true => keys::with_id(&scope.closed(), order.id),
        false => keys::with_id(&scope.live(), order.id),
    });
    let mut follows = Follows::indexed(listed);
    if is_closed {
        follows.entries.push((keys::closed_at(order.updated_at, order.id), Bytes::new()));
    } else {
        let edges = order.depends_on.iter();
        let children = edges.map(|edge| keys::with_id(&keys::children(edge.order), order.id));
        follows.entries.extend(children.map(|key| (key, Bytes::new())));
        follows.sums.extend(counted_in(&stored.counted));
    }
    if let Some(origin) = &order.origin {
        follows.entries.push((keys::origin(origin), Bytes::copy_from_slice(order.id.as_bytes())));
    }
    follows
}

/// Where the record begins, behind the hash of the one before.
pub(super) const CHAINED: usize = 32;

/// The version of the record in `value`, and the newest that this program writes.
pub(super) fn version(collection: &Collection, value: &[u8]) -> Option<(u8, u8)> {
    let newest = match (collection.holds, collection.prefix) {
        (Holds::Records(_), b"o/") => Stored::VERSION,
        (Holds::Records(_), b"e/") => StoredEvent::VERSION,
        (Holds::Records(_), b"i/") => Kept::VERSION,
        (Holds::Records(_), b"s/") => Session::VERSION,
        (Holds::Records(_), b"ha/") => AddressUse::VERSION,
        (Holds::Records(_), b"ua/") => Account::VERSION,
        (Holds::Records(_), b"ul/") => Line::VERSION,
        (Holds::Records(_), b"ng/") => EgressEntry::VERSION,
        (Holds::Records(_), b"uh/") => usage::Step::VERSION,
        (Holds::Passing, b"cl/") => Holder::VERSION,
        (Holds::Chained(_), _) => return value.get(CHAINED).map(|version| (*version, AuditRecord::VERSION)),
        _ => return None,
    };
    value.first().map(|version| (*version, newest))
}
