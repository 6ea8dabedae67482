//! Query parameters: each method takes the ones in its list and no others; the same list is its documentation.
//!
//! | wrong | answer |
//! |---|---|
//! | unknown, given twice, not UTF-8, not of its type, an unknown filter value | 400 `bad-query`, naming it |
//! | `limit` outside 1 to the site's most | 422 `invalid` |
//! | a cursor that is not ours | 400 `bad-cursor` |

use std::collections::BTreeMap;
use std::net::IpAddr;

use archipel_model::audit::Outcome;
use archipel_model::order::{Kind, State};
use archipel_model::{CloudName, OrderId, SiteId, Timestamp};
use url::form_urlencoded;

use crate::ApiLimits;
use crate::problem::{Answer, Problem, table};

/// A query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Param {
    Limit,
    Cursor,
    State,
    Kind,
    Cloud,
    Site,
    Label,
    Unreachable,
    Refresh,
    Cascade,
    DryRun,
    From,
    To,
    Issuer,
    Subject,
    Order,
    Operation,
    Outcome,
    Address,
    At,
    Head,
    Group,
    By,
    Format,
}

impl Param {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Cursor => "cursor",
            Self::State => "state",
            Self::Kind => "kind",
            Self::Cloud => "cloud",
            Self::Site => "site",
            Self::Label => "label",
            Self::Unreachable => "unreachable",
            Self::Refresh => "refresh",
            Self::Cascade => "cascade",
            Self::DryRun => "dry_run",
            Self::From => "from",
            Self::To => "to",
            Self::Issuer => "issuer",
            Self::Subject => "subject",
            Self::Order => "order",
            Self::Operation => "operation",
            Self::Outcome => "outcome",
            Self::Address => "address",
            Self::At => "at",
            Self::Head => "head",
            Self::Group => "group",
            Self::By => "by",
            Self::Format => "format",
        }
    }

    /// Filters that may be given more than once.
    pub(crate) const fn repeats(self) -> bool {
        matches!(self, Self::State | Self::Label)
    }
}

/// Most label filters in one query: no order has more labels.
const LABELS: usize = 64;

/// For one order.
pub(crate) const ONE: &[Param] = &[Param::Refresh];
/// For a delete.
pub(crate) const DELETE: &[Param] = &[Param::Cascade, Param::DryRun];
/// For a list without filters.
pub(crate) const PAGE: &[Param] = &[Param::Limit, Param::Cursor];
/// For a list of orders of one kind.
pub(crate) const ORDERS_OF_KIND: &[Param] =
    &[Param::Limit, Param::Cursor, Param::State, Param::Cloud, Param::Site, Param::Label, Param::Unreachable];
/// For the list of all orders.
pub(crate) const ORDERS: &[Param] = &[
    Param::Limit,
    Param::Cursor,
    Param::State,
    Param::Kind,
    Param::Cloud,
    Param::Site,
    Param::Label,
    Param::Unreachable,
];

/// For the audit.
pub(crate) const AUDIT: &[Param] = &[
    Param::Limit,
    Param::Cursor,
    Param::From,
    Param::To,
    Param::Issuer,
    Param::Subject,
    Param::Order,
    Param::Operation,
    Param::Outcome,
    Param::Address,
];
/// For a walk along the audit's chain.
pub(crate) const VERIFICATION: &[Param] = &[Param::Cursor, Param::Head];
/// For who had an address.
pub(crate) const ADDRESS: &[Param] = &[Param::At];
/// For usage.
pub(crate) const USAGE: &[Param] = &[
    Param::Limit,
    Param::Cursor,
    Param::From,
    Param::To,
    Param::Group,
    Param::Cloud,
    Param::Kind,
    Param::By,
    Param::Format,
];

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(Param, String)>,
}

impl Query {
    /// Reads a query, of which only `allowed` may be there.
    pub(crate) fn read(raw: Option<&str>, allowed: &[Param]) -> Answer<Self> {
        let raw = raw.unwrap_or_default();
        let mut pairs: Vec<(Param, String)> = Vec::new();
        for piece in raw.split('&').filter(|piece| !piece.is_empty()) {
            let Some((name, value)) = form_urlencoded::parse(piece.as_bytes()).next() else { continue };
            let Some(param) = allowed.iter().copied().find(|param| param.name() == name) else {
                let shown: String = name.chars().take(64).collect();
                let known: Vec<&str> = allowed.iter().map(|param| param.name()).collect();
                let hint = if known.is_empty() {
                    "it takes none".to_owned()
                } else {
                    format!("known: {}", known.join(", "))
                };
                return Err(bad(&shown, &format!("there is no query parameter {shown:?} here; {hint}")));
            };
            // form_urlencoded replaces what is not UTF-8; a replacement that was not sent as such gives it away.
            if value.contains('\u{fffd}') && !piece.to_ascii_uppercase().contains("%EF%BF%BD") {
                return Err(bad(param.name(), "its value is not UTF-8"));
            }
            if !param.repeats() && pairs.iter().any(|(known, _)| *known == param) {
                return Err(bad(param.name(), "it is given twice"));
            }
            pairs.push((param, value.into_owned()));
        }
        Ok(Self { pairs })
    }

    fn values(&self, wanted: Param) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(param, _)| *param == wanted).map(|(_, value)| value.as_str())
    }

    fn value(&self, wanted: Param) -> Option<&str> {
        self.values(wanted).next()
    }

    /// `true` or `false`; absent is `None`.
    pub(crate) fn flag(&self, param: Param) -> Answer<Option<bool>> {
        match self.value(param) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(bad(param.name(), "write true or false")),
        }
    }

    /// Items wanted on a page.
    pub(crate) fn limit(&self, limits: &ApiLimits) -> Answer<usize> {
        let Some(text) = self.value(Param::Limit) else {
            return Ok(limits.page_default.min(limits.page_max));
        };
        let is_integer = text.strip_prefix('-').unwrap_or(text).chars().all(|c| c.is_ascii_digit());
        if !is_integer || text.is_empty() || text == "-" {
            return Err(bad("limit", "write a whole number"));
        }
        match text.parse::<usize>() {
            Ok(limit) if (1..=limits.page_max).contains(&limit) => Ok(limit),
            _ => Err(Problem::new(table::INVALID, format!("limit is outside 1 to {}", limits.page_max))
                .member("field", "limit")),
        }
    }

    /// The cursor, as sent.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.value(Param::Cursor)
    }

    /// States wanted; empty = all but closed. Repeated, or separated by commas.
    pub(crate) fn states(&self) -> Answer<Vec<State>> {
        let mut states = Vec::new();
        for word in self.values(Param::State).flat_map(|value| value.split(',')) {
            let state: State =
                word.parse().map_err(|error: archipel_model::Error| bad("state", &error.message))?;
            if !states.contains(&state) {
                states.push(state);
            }
        }
        states.sort();
        Ok(states)
    }

    /// The kind wanted.
    pub(crate) fn kind(&self) -> Answer<Option<Kind>> {
        self.parsed(Param::Kind)
    }

    /// The cloud wanted.
    pub(crate) fn cloud(&self) -> Answer<Option<CloudName>> {
        self.parsed(Param::Cloud)
    }

    /// The site wanted.
    pub(crate) fn site(&self) -> Answer<Option<SiteId>> {
        self.parsed(Param::Site)
    }

    /// A time, RFC 3339.
    pub(crate) fn time(&self, param: Param) -> Answer<Option<Timestamp>> {
        let read = |text: &str| {
            // A plus sign of an offset comes as a space where it was not escaped.
            Timestamp::parse(&text.replace(' ', "+"))
                .ok_or_else(|| bad(param.name(), "write a time as in 2026-11-21T12:00:00Z"))
        };
        self.value(param).map(read).transpose()
    }

    /// Any text.
    pub(crate) fn text(&self, param: Param) -> Option<String> {
        self.value(param).map(str::to_owned)
    }

    /// The order wanted.
    pub(crate) fn order(&self) -> Answer<Option<OrderId>> {
        self.parsed(Param::Order)
    }

    /// The outcome wanted.
    pub(crate) fn outcome(&self) -> Answer<Option<Outcome>> {
        self.parsed(Param::Outcome)
    }

    /// The address wanted.
    pub(crate) fn address(&self) -> Answer<Option<IpAddr>> {
        let read = |text: &str| text.parse().map_err(|_| bad("address", "write an IP address"));
        self.value(Param::Address).map(read).transpose()
    }

    /// A place in the audit's chain: `SEQUENCE:HASH`.
    pub(crate) fn head(&self) -> Answer<Option<(u64, String)>> {
        let wrong = || bad("head", "write SEQUENCE:HASH, as /v1/admin/audit/head gives them");
        let read = |text: &str| {
            let (sequence, hash) = text.split_once(':').ok_or_else(wrong)?;
            let is_hash = hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit());
            let sequence = sequence.parse().ok().filter(|_| is_hash).ok_or_else(wrong)?;
            Ok((sequence, hash.to_owned()))
        };
        self.value(Param::Head).map(read).transpose()
    }

    /// Labels wanted: `key:value`, all of them.
    pub(crate) fn labels(&self) -> Answer<BTreeMap<String, String>> {
        let mut labels = BTreeMap::new();
        for text in self.values(Param::Label) {
            let (key, value) = text.split_once(':').ok_or_else(|| bad("label", "write key:value"))?;
            if key.is_empty() {
                return Err(bad("label", "write key:value"));
            }
            if labels.insert(key.to_owned(), value.to_owned()).is_some_and(|other| other != value) {
                return Err(bad("label", "one key is given with two values"));
            }
        }
        if self.values(Param::Label).count() > LABELS {
            return Err(bad("label", "too many of them"));
        }
        Ok(labels)
    }

    fn parsed<T: std::str::FromStr<Err = archipel_model::Error>>(&self, param: Param) -> Answer<Option<T>> {
        self.value(param)
            .map(|text| {
                text.parse().map_err(|error: archipel_model::Error| bad(param.name(), &error.message))
            })
            .transpose()
    }
}

/// Refuses any query parameter.
pub(crate) fn none(raw: Option<&str>) -> Answer<()> {
    Query::read(raw, &[]).map(drop)
}

/// A parameter that has not its form.
pub(crate) fn bad(name: &str, detail: &str) -> Problem {
    Problem::new(table::BAD_QUERY, format!("query parameter {name}: {detail}")).member("parameter", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(raw: &str) -> &'static str {
        let read = || -> Answer<()> {
            let query = Query::read(Some(raw), ORDERS)?;
            query.limit(&ApiLimits::default())?;
            query.states()?;
            query.kind()?;
            query.cloud()?;
            query.site()?;
            query.labels()?;
            query.flag(Param::Unreachable)?;
            Ok(())
        };
        read().map_or_else(|problem| problem.row().code, |()| "fine")
    }

    #[test]
    fn what_is_wrong_with_a_query_is_400_and_a_limit_out_of_range_422() {
        for fine in [
            "",
            "limit=1",
            "limit=1000",
            "state=open&state=closed",
            "state=open,waiting",
            "label=a:b&label=c:d:e",
            "unreachable=true",
            "cloud=one",
            "&&",
        ] {
            assert_eq!(code(fine), "fine", "{fine}");
        }
        for wrong in [
            "nope=1",
            "limit=1&limit=2",
            "limit=ten",
            "limit=",
            "limit=1.5",
            "state=broken",
            "kind=cat",
            "cloud=A",
            "site=_",
            "label=a",
            "label=:b",
            "label=a:b&label=a:c",
            "unreachable=1",
            "cloud=%ff",
        ] {
            assert_eq!(code(wrong), "bad-query", "{wrong}");
        }
        for out in ["limit=0", "limit=1001", "limit=-1", "limit=99999999999999999999999999"] {
            assert_eq!(code(out), "invalid", "{out}");
        }
    }
}
