//! Where everything lies: the one place that knows the keys.
//!
//! | prefix | then | value |
//! |---|---|---|
//! | `o/` | order | record |
//! | `l/` and `x/` | scope, order | empty; orders that are not closed (`l`) and that are (`x`) |
//! | `xt/` | time of closing, order | empty; what retention forgets next |
//! | `ch/` | parent order, child order | empty; children that are not closed |
//! | `cn/` | parent order | how many; no key = none, so that "no children" can be a precondition |
//! | `or/` | hash of (site, order) of the requesting side | the order's id |
//! | `u/` | `i`, `c`, `m` or `d`, counter | what counts against limits: instances, vcpu, ram MiB, disk GiB |
//! | `cl/`, `ce/` | queue | who works on it and until when; the epoch, which changes only with the holder |
//! | `e/` | sequence | event |
//! | `es/`, `eo/`, `eg/` | order, owner or group; sequence | empty |
//! | `i/`, `ip/`, `it/` | scope's hash (part number; time first) | idempotency record; parts of a long answer; empty |
//! | `s/`, `so/`, `sc/`, `se/` | session; owner or parent, session; end, session | record; empty |
//! | `t/`, `te/` | SHA-256 of a foreign token; end, SHA-256 | its end; empty |
//! | `ng/` | order, sequence | a request that left for the order |
//! | `nf/` | order | how many of those are not kept any more |
//! | `p/`, `pb/` | binding, plugin's key; binding | plugin's value; bytes it keeps |
//! | `pp/` | publisher | its place in the log of events |
//! | `ad/` | sequence | audit record, chained |
//! | `ac/` | `head` or `anchor` | the newest audit record, and the last that retention removed |
//! | `ao/`, `au/`, `aa/` | order, user or address; sequence | empty |
//! | `at/` | time, sequence | empty |
//! | `ha/` | address, time, order | who had it from then on |
//! | `he/` | end; address, time, order | empty; what retention forgets next |
//! | `ul/` | line | whose usage is added up there |
//! | `ui/` | line, time | what changed in that millisecond: see `usage::staircase` |
//! | `um/` | level, line, number | sums of those: of all, of 2^30 ms, of 2^22 ms |
//! | `ua/`, `uh/` | order; order, time | the order's account; what it was metered as from then on |
//! | `uo/`, `ue/` | owner, order; end, order | empty |
//! | `m/` | name | what the store says of itself |
//!
//! A scope is `a` (all) or `o`, `g`, `c` and 16 bytes of the SHA-256 of the owner, group or cloud: names are of any
//! length and alphabet, and a key must not be. A collision shows nothing to anyone: every record that an index leads to
//! is checked again. Ids and times are binary and big-endian, so that keys sort by them.

use std::net::IpAddr;

use archipel_identity::store::Session;
use archipel_model::order::{Order, RemoteOrder};
use archipel_model::{CloudName, OrderId, Owner, SessionId, Timestamp};
use archipel_orders::store::IdempotencyScope;
use sha2::{Digest, Sha256};

use crate::engine::Key;

pub(crate) const EVENTS: &[u8] = b"e/";
pub(crate) const CLAIMS: &[u8] = b"cl/";
pub(crate) const CLOSED_AT: &[u8] = b"xt/";
pub(crate) const IDEMPOTENCY_AT: &[u8] = b"it/";
pub(crate) const SESSION_ENDS: &[u8] = b"se/";
pub(crate) const TOKEN_ENDS: &[u8] = b"te/";
pub(crate) const AUDIT: &[u8] = b"ad/";
pub(crate) const AUDIT_HEAD: &[u8] = b"ac/head";
pub(crate) const AUDIT_ANCHOR: &[u8] = b"ac/anchor";
pub(crate) const AUDIT_AT: &[u8] = b"at/";
pub(crate) const ADDRESS_ENDS: &[u8] = b"he/";
pub(crate) const LINES: &[u8] = b"ul/";
pub(crate) const INSTANTS: &[u8] = b"ui/";
pub(crate) const ACCOUNTS: &[u8] = b"ua/";
pub(crate) const ACCOUNT_ENDS: &[u8] = b"ue/";
pub(crate) const SCHEMA: &[u8] = b"m/schema";
pub(crate) const SITE: &[u8] = b"m/site";
pub(crate) const INCARNATION: &[u8] = b"m/incarnation";
pub(crate) const CONFIRMED: &[u8] = b"m/confirmed";
pub(crate) const FORGOTTEN: &[u8] = b"m/events-forgotten";
pub(crate) const PROBE: &[u8] = b"m/probe";

fn join(parts: &[&[u8]]) -> Key {
    parts.concat()
}

/// SHA-256 over parts, each with its length.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn short(parts: &[&str]) -> [u8; 16] {
    let digest = digest(parts);
    digest.first_chunk::<16>().copied().unwrap_or_default()
}

/// A set of orders that is listed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope(Vec<u8>);

impl Scope {
    pub(crate) fn all() -> Self {
        Self(b"a".to_vec())
    }

    pub(crate) fn owner(owner: &Owner) -> Self {
        Self(join(&[b"o", &short(&[&owner.issuer, &owner.subject])]))
    }

    pub(crate) fn group(group: &str) -> Self {
        Self(join(&[b"g", &short(&[group])]))
    }

    pub(crate) fn cloud(cloud: &CloudName) -> Self {
        Self(join(&[b"c", &short(&[cloud.as_str()])]))
    }

    /// Every scope that an order is listed in.
    pub(crate) fn of(order: &Order) -> Vec<Self> {
        let mut scopes = vec![Self::all(), Self::owner(&order.owner()), Self::cloud(&order.cloud)];
        scopes.extend(order.group.as_deref().map(Self::group));
        scopes
    }

    /// Its orders that are not closed.
    pub(crate) fn live(&self) -> Key {
        join(&[b"l/", &self.0])
    }

    /// Its orders that are closed.
    pub(crate) fn closed(&self) -> Key {
        join(&[b"x/", &self.0])
    }
}

/// An index's prefix and the id that ends the key.
pub(crate) fn with_id(prefix: &[u8], id: OrderId) -> Key {
    join(&[prefix, id.as_bytes()])
}

/// The id that ends a key.
pub(crate) fn order_at_end(key: &[u8]) -> Option<OrderId> {
    key.last_chunk::<16>().map(|bytes| OrderId::from_bytes(*bytes))
}

/// The session id that ends a key.
pub(crate) fn session_at_end(key: &[u8]) -> Option<SessionId> {
    key.last_chunk::<16>().map(|bytes| SessionId::from_bytes(*bytes))
}

/// The 32 bytes that end a key.
pub(crate) fn digest_at_end(key: &[u8]) -> Option<[u8; 32]> {
    key.last_chunk::<32>().copied()
}

pub(crate) fn order(id: OrderId) -> Key {
    with_id(b"o/", id)
}

/// The log of requests that left for an order.
pub(crate) fn egress(order: OrderId) -> Key {
    with_id(b"ng/", order)
}

pub(crate) fn egress_forgotten(order: OrderId) -> Key {
    with_id(b"nf/", order)
}

pub(crate) fn closed_at(at: Timestamp, id: OrderId) -> Key {
    with_id(&at_prefix(CLOSED_AT, at), id)
}

pub(crate) fn children(parent: OrderId) -> Key {
    with_id(b"ch/", parent)
}

pub(crate) fn child_count(parent: OrderId) -> Key {
    with_id(b"cn/", parent)
}

pub(crate) fn origin(origin: &RemoteOrder) -> Key {
    join(&[b"or/", &digest(&[origin.site.as_str(), &origin.order.to_string()])])
}

/// One of the four counters under a name; a name that is too long for a key is hashed.
pub(crate) fn usage(what: u8, counter: &str) -> Key {
    match counter.len() {
        ..=1024 => join(&[b"u/", &[what], b"/", counter.as_bytes()]),
        _ => join(&[b"u/", &[what], b"#", &digest(&[counter])]),
    }
}

pub(crate) fn event(sequence: u64) -> Key {
    join(&[EVENTS, &sequence.to_be_bytes()])
}

pub(crate) fn claim(queue: &CloudName) -> Key {
    join(&[CLAIMS, queue.as_str().as_bytes()])
}

pub(crate) fn epoch(queue: &CloudName) -> Key {
    join(&[b"ce/", queue.as_str().as_bytes()])
}

pub(crate) fn events_of(order: OrderId) -> Key {
    with_id(b"es/", order)
}

pub(crate) fn events_of_owner(owner: &Owner) -> Key {
    join(&[b"eo/", &short(&[&owner.issuer, &owner.subject])])
}

pub(crate) fn events_of_group(group: &str) -> Key {
    join(&[b"eg/", &short(&[group])])
}

pub(crate) fn idempotency_digest(scope: &IdempotencyScope) -> [u8; 32] {
    digest(&[&scope.owner.issuer, &scope.owner.subject, &scope.path, &scope.key])
}

pub(crate) fn idempotency(scope: &[u8; 32]) -> Key {
    join(&[b"i/", scope])
}

pub(crate) fn idempotency_part(scope: &[u8; 32], part: u16) -> Key {
    join(&[b"ip/", scope, &part.to_be_bytes()])
}

pub(crate) fn idempotency_at(at: Timestamp, scope: &[u8; 32]) -> Key {
    join(&[&at_prefix(IDEMPOTENCY_AT, at), scope])
}

pub(crate) fn session(id: SessionId) -> Key {
    join(&[b"s/", id.as_bytes()])
}

pub(crate) fn sessions_of(owner: &Owner) -> Key {
    join(&[b"so/", &short(&[&owner.issuer, &owner.subject])])
}

pub(crate) fn sessions_from(parent: SessionId) -> Key {
    join(&[b"sc/", parent.as_bytes()])
}

/// The indexes of a session.
pub(crate) fn session_indexes(session: &Session) -> Vec<Key> {
    let id = session.id.as_bytes();
    let mut keys = vec![
        join(&[&sessions_of(&session.user.owner()), id]),
        join(&[&at_prefix(SESSION_ENDS, session.expires_at), id]),
    ];
    keys.extend(session.parent.map(|parent| join(&[&sessions_from(parent), id])));
    keys
}

pub(crate) fn token(sha256: &[u8; 32]) -> Key {
    join(&[b"t/", sha256])
}

pub(crate) fn token_end(until: Timestamp, sha256: &[u8; 32]) -> Key {
    join(&[&at_prefix(TOKEN_ENDS, until), sha256])
}

/// What a plugin keeps under keys that begin with `key`.
pub(crate) fn plugin(binding: &str, key: &str) -> Key {
    let length = u16::try_from(binding.len()).unwrap_or(u16::MAX);
    join(&[b"p/", &length.to_be_bytes(), binding.as_bytes(), key.as_bytes()])
}

pub(crate) fn plugin_bytes(binding: &str) -> Key {
    join(&[b"pb/", binding.as_bytes()])
}

/// Where a publisher stands.
pub(crate) fn position(publisher: &str) -> Key {
    join(&[b"pp/", publisher.as_bytes()])
}

/// Audit records that name an order.
pub(crate) fn audit_of(order: OrderId) -> Key {
    with_id(b"ao/", order)
}

/// Audit records of what someone did.
pub(crate) fn audit_of_user(owner: &Owner) -> Key {
    join(&[b"au/", &short(&[&owner.issuer, &owner.subject])])
}

/// Audit records of what came from an address.
pub(crate) fn audit_of_address(address: &str) -> Key {
    join(&[b"aa/", &short(&[address])])
}

/// Audit records of one millisecond.
pub(crate) fn audit_at(at: Timestamp) -> Key {
    at_prefix(AUDIT_AT, at)
}

/// All that is known of who had an address; IPv4 as the IPv6 addresses that stand for it (RFC 4291, section 2.5.5.2).
pub(crate) fn address(address: IpAddr) -> Key {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    join(&[b"ha/", &address.octets()])
}

/// One order's use of an address, from a time on.
pub(crate) fn address_use(of: IpAddr, from: Timestamp, order: OrderId) -> Key {
    with_id(&at_prefix(&address(of), from), order)
}

/// The end of one, by its key.
pub(crate) fn address_end(until: Timestamp, used: &[u8]) -> Key {
    join(&[&at_prefix(ADDRESS_ENDS, until), used.get(b"ha/".len()..).unwrap_or_default()])
}

/// The use whose end this is.
pub(crate) fn address_use_of(end: &[u8]) -> Key {
    join(&[b"ha/", end.get(ADDRESS_ENDS.len() + 8..).unwrap_or_default()])
}

/// What is metered together: the same owner, and everything else that `parts` name.
pub(crate) fn line(owner: &Owner, parts: &[&str]) -> [u8; 32] {
    let mut line = [0; 32];
    let (of, rest) = line.split_at_mut(16);
    of.copy_from_slice(&short(&[&owner.issuer, &owner.subject]));
    rest.copy_from_slice(&short(parts));
    line
}

pub(crate) fn usage_line(line: &[u8; 32]) -> Key {
    join(&[LINES, line])
}

/// The lines of one owner.
pub(crate) fn usage_lines_of(owner: &Owner) -> Key {
    join(&[LINES, &short(&[&owner.issuer, &owner.subject])])
}

/// What changed on a line.
pub(crate) fn usage_instants(line: &[u8; 32]) -> Key {
    join(&[INSTANTS, line])
}

/// What a line's changes add up to at a level.
pub(crate) fn usage_sums(level: u8, line: &[u8; 32]) -> Key {
    join(&[b"um/", &[level], line])
}

pub(crate) fn account(order: OrderId) -> Key {
    with_id(ACCOUNTS, order)
}

pub(crate) fn accounts_of(owner: &Owner) -> Key {
    join(&[b"uo/", &short(&[&owner.issuer, &owner.subject])])
}

pub(crate) fn account_end(ended: Timestamp, order: OrderId) -> Key {
    with_id(&at_prefix(ACCOUNT_ENDS, ended), order)
}

/// What an order was metered as.
pub(crate) fn metered(order: OrderId) -> Key {
    with_id(b"uh/", order)
}

/// A prefix followed by a time; times before 1970 sort as 1970.
pub(crate) fn at_prefix(prefix: &[u8], at: Timestamp) -> Key {
    join(&[prefix, &at.as_unsigned_millis().to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts_never_run_together() {
        let owner = |issuer: &str, subject: &str| Owner { issuer: issuer.into(), subject: subject.into() };
        assert_ne!(Scope::owner(&owner("a", "bc")), Scope::owner(&owner("ab", "c")));
        assert_ne!(plugin("a", "bc"), plugin("ab", "c"));
        assert_ne!(usage(b'i', "x"), usage(b'c', "x"));
        assert!(usage(b'i', &"x".repeat(50_000)).len() < 64);
    }

    #[test]
    fn times_sort() {
        let id = OrderId::generate();
        let at = |ms| closed_at(Timestamp::from_millis(ms), id);
        assert!(at(-5) < at(1) && at(1) < at(255) && at(255) < at(256));
    }
}
