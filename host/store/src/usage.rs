//! What orders used, added up in the commits that change them.
//!
//! A line (owner, group, cloud, sites, kind, class) uses at any time the sum of what its orders have: a staircase. Each
//! step of it by `d` at time `t` is kept as eight numbers, `d` and `-d·t` for each of four amounts; so the numbers of all
//! steps before `T` add up to `(R, A)`, and what was used until `T` is exactly `R·T + A`, in whole milliseconds. Steps are
//! kept by millisecond, and added up over 2^22 ms (70 min), over 2^30 ms (12 days), and over all time. What was before `T`
//! is all, less what came later: a few hundred numbers at most, however many orders there were and whenever `T` is.
//!
//! Nothing here is ever negative: an order's own steps never go back in time (see `meter`), and a time that comes before
//! one of them simply does not see it.
//!
//! Beside the lines, each order has an account and the steps of its own, which retention removes; the lines stay.

mod meter;
mod staircase;

use std::collections::BTreeMap;
use std::sync::Arc;

use archipel_model::{Error, OrderId, Timestamp};
use archipel_orders::store::Visible;
use archipel_orders::usage::{
    Account, Class, Line, LineUsage, OrderUsage, OrderUsagePage, Spent, UsageQuery, UsageStore,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

pub(crate) use meter::{Step, account_indexes, meter};
pub(crate) use staircase::{Sums, line_key, sums_of};

use crate::engine::{Commit, CommitError, Engine, Entries, Range};
use crate::judge::sequence_of;
use crate::keys;
use crate::record::{TRIES, busy, decode, refusal};
use meter::read_account;
use staircase::{ALL, COARSE, FINE, Terms, amounts, at_key, fixed, spent};

/// Keys that are read at a time.
const CHUNK: usize = 1000;
/// Lines that are worked on at a time.
const AT_ONCE: usize = 16;
/// Accounts that are looked at for one page. Bounds the work of a page that few of them belong to.
const LOOKED_AT: usize = 5000;
/// Orders of one page at most. Bounds memory.
const MAX_PAGE: usize = 1000;
/// Keys that are removed in one commit.
const REMOVED_AT_A_TIME: usize = 90;

pub(crate) struct UsageCollection {
    pub(crate) engine: Arc<dyn Engine>,
}

impl UsageCollection {
    /// What a line used until two instants. What changed while it was read is read again.
    async fn spent(&self, line: &[u8; 32], from: Timestamp, to: Timestamp) -> Result<(Spent, Spent), Error> {
        let all = keys::usage_sums(ALL, line);
        for _ in 0..TRIES {
            let total = self.engine.get(&all).await?;
            let before = self.until(line, &fixed(total.as_ref()), from).await?;
            let after = self.until(line, &fixed(total.as_ref()), to).await?;
            if self.engine.get(&all).await? == total {
                return Ok((before, after));
            }
        }
        Err(busy())
    }

    async fn until(&self, line: &[u8; 32], total: &Terms, at: Timestamp) -> Result<Spent, Error> {
        let ms = at.as_unsigned_millis();
        if ms == 0 {
            return Ok(Spent::default());
        }
        let (fine, coarse) = ((ms >> FINE.1) + 1, (ms >> COARSE.1) + 1);
        let instants = keys::usage_instants(line);
        let mut terms = *total;
        for (prefix, from, to) in [
            (instants, ms, Some(fine << FINE.1)),
            (keys::usage_sums(FINE.0, line), fine, Some(coarse << (COARSE.1 - FINE.1))),
            (keys::usage_sums(COARSE.0, line), coarse, None),
        ] {
            let mut range = Range::prefix(&prefix, CHUNK);
            range.start = at_key(&prefix, from);
            if let Some(to) = to {
                range = range.before(at_key(&prefix, to));
            }
            loop {
                let entries = self.engine.range(&range).await?;
                for (_, value) in &entries {
                    for (term, later) in terms.iter_mut().zip(fixed(Some(value))) {
                        *term = term.saturating_sub(later);
                    }
                }
                match entries.last() {
                    Some((last, _)) if entries.len() == CHUNK => range = range.after(last),
                    _ => break,
                }
            }
        }
        Ok(spent(&terms, at))
    }

    /// What one order used.
    async fn order(&self, account: Account, query: &UsageQuery) -> Result<OrderUsage, Error> {
        let prefix = keys::metered(account.order);
        let mut range = Range::prefix(&prefix, CHUNK);
        let mut classes: BTreeMap<Class, (Spent, Spent)> = BTreeMap::new();
        let (mut open, mut last): (Option<(Timestamp, Step)>, _) = (None, None);
        loop {
            let entries = self.engine.range(&range).await?;
            for (key, raw) in &entries {
                let ms = sequence_of(key).and_then(|ms| i64::try_from(ms).ok()).unwrap_or_default();
                let (at, step) = (Timestamp::from_millis(ms), decode::<Step>(raw)?);
                if let Some((since, step)) = open.take() {
                    add_interval(&mut classes, &step, since, Some(at), query);
                }
                if at < query.to {
                    last = step.class.map(|class| (class, step.amounts));
                }
                open = Some((at, step));
            }
            match entries.last() {
                Some((key, _)) if entries.len() == CHUNK => range = range.after(key),
                _ => break,
            }
        }
        if let Some((since, step)) = open {
            add_interval(&mut classes, &step, since, None, query);
        }
        let classes = classes.into_iter().map(|(class, (before, after))| (class, before, after)).collect();
        Ok(OrderUsage { account, classes, last })
    }

    /// Accounts in the order of their ids, of all that may be asked for.
    async fn accounts(&self, visible: &Visible, after: Option<OrderId>) -> Result<Vec<Account>, Error> {
        let prefix = match visible {
            Visible::Own(owner) => keys::accounts_of(owner),
            Visible::Group(..) | Visible::Any => keys::ACCOUNTS.to_vec(),
        };
        let mut range = Range::prefix(&prefix, CHUNK);
        if let Some(after) = after {
            range = range.after(&keys::with_id(&prefix, after));
        }
        let entries = self.engine.range(&range).await?;
        let raws: Vec<Bytes> = match visible {
            Visible::Own(_) => {
                let ids = entries.iter().filter_map(|(key, _)| keys::order_at_end(key)).map(keys::account);
                self.engine.get_many(&ids.collect::<Vec<_>>()).await?.into_iter().flatten().collect()
            }
            _ => entries.into_iter().map(|(_, raw)| raw).collect(),
        };
        raws.iter().map(|raw| decode(raw)).collect()
    }

    async fn remove(&self, end: &[u8]) -> Result<bool, Error> {
        let Some(order) = keys::order_at_end(end) else { return Ok(false) };
        let Some((account, raw)) = read_account(&*self.engine, order).await? else {
            let mut commit = Commit::new();
            commit.delete(end.to_vec());
            self.engine.commit(commit).await.map_err(refusal)?;
            return Ok(true);
        };
        // Steps go first: without its account, nobody would find them any more.
        loop {
            let steps = self.engine.range(&Range::prefix(&keys::metered(order), REMOVED_AT_A_TIME)).await?;
            if steps.is_empty() {
                break;
            }
            let mut commit = Commit::new();
            commit.is(keys::account(order), Some(raw.clone()));
            for (key, _) in steps {
                commit.delete(key);
            }
            match self.engine.commit(commit).await {
                Ok(_) => {}
                // It is metered again.
                Err(CommitError::Conflict(_)) => return Ok(false),
                Err(error) => return Err(refusal(error)),
            }
        }
        let mut commit = Commit::new();
        commit.is(keys::account(order), Some(raw)).delete(keys::account(order)).delete(end.to_vec());
        for index in account_indexes(&account) {
            commit.delete(index);
        }
        match self.engine.commit(commit).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(error) => Err(refusal(error)),
        }
    }
}

/// Counts the part of an interval that lies before each end of the range.
fn add_interval(
    classes: &mut BTreeMap<Class, (Spent, Spent)>,
    step: &Step,
    since: Timestamp,
    until: Option<Timestamp>,
    query: &UsageQuery,
) {
    let Some(class) = step.class else { return };
    let amounts = amounts(&step.amounts);
    let upto = |end: Timestamp| {
        let end = until.map_or(end, |until| until.min(end));
        let ms = i128::try_from(end.since(since).as_millis()).unwrap_or(i128::MAX);
        let [instances, vcpu, ram_mib, disk_gib] = amounts.map(|amount| amount.saturating_mul(ms));
        Spent { instances, vcpu, ram_mib, disk_gib }
    };
    let (before, after) = classes.entry(class).or_default();
    *before = before.and(upto(query.from));
    *after = after.and(upto(query.to));
}

#[async_trait]
impl UsageStore for UsageCollection {
    async fn lines(&self, query: &UsageQuery) -> Result<Vec<LineUsage>, Error> {
        let prefix = match &query.visible {
            Visible::Own(owner) => keys::usage_lines_of(owner),
            Visible::Group(..) | Visible::Any => keys::LINES.to_vec(),
        };
        let mut range = Range::prefix(&prefix, CHUNK);
        let mut found = Vec::new();
        loop {
            let entries: Entries = self.engine.range(&range).await?;
            let mut lines: Vec<([u8; 32], Line)> = Vec::new();
            for (key, raw) in &entries {
                let line: Line = decode(raw)?;
                if let Some(name) = keys::digest_at_end(key)
                    && query.covers(&line.owner, line.group.as_deref(), &line.cloud, line.kind)
                {
                    lines.push((name, line));
                }
            }
            let some: Vec<LineUsage> = futures::stream::iter(lines)
                .map(|(name, line)| async move {
                    let (before, after) = self.spent(&name, query.from, query.to).await?;
                    Ok::<_, Error>(LineUsage { line, before, after })
                })
                .buffered(AT_ONCE)
                .try_collect()
                .await?;
            found.extend(some.into_iter().filter(|usage| usage.before != usage.after));
            match entries.last() {
                Some((last, _)) if entries.len() == CHUNK => range = range.after(last),
                _ => return Ok(found),
            }
        }
    }

    async fn orders(
        &self,
        query: &UsageQuery,
        after: Option<OrderId>,
        limit: usize,
    ) -> Result<OrderUsagePage, Error> {
        let limit = limit.clamp(1, MAX_PAGE);
        let (mut cursor, mut looked_at) = (after, 0);
        let mut items: Vec<OrderUsage> = Vec::new();
        loop {
            let accounts = self.accounts(&query.visible, cursor).await?;
            if accounts.is_empty() {
                return Ok(OrderUsagePage { items, next: None });
            }
            for account in accounts {
                if items.len() == limit || looked_at >= LOOKED_AT {
                    return Ok(OrderUsagePage { items, next: cursor });
                }
                looked_at += 1;
                cursor = Some(account.order);
                let is_within = account.started_at < query.to
                    && account.ended_at.is_none_or(|ended| ended > query.from)
                    && query.covers(&account.owner, account.group.as_deref(), &account.cloud, account.kind);
                if is_within {
                    items.push(self.order(account, query).await?);
                }
            }
        }
    }

    async fn forget_before(&self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        let range =
            Range::prefix(keys::ACCOUNT_ENDS, limit).before(keys::at_prefix(keys::ACCOUNT_ENDS, before));
        let mut forgotten = 0;
        for (end, _) in self.engine.range(&range).await? {
            forgotten += usize::from(self.remove(&end).await?);
        }
        Ok(forgotten)
    }
}
