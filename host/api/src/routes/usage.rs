//! `/v1/usage` and `/v1/admin/usage`: what was used, by whom, of what, in any range of time.
//!
//! | `format`, or `Accept` | what comes |
//! |---|---|
//! | `json`, `application/json` (the default) | rows |
//! | `csv`, `text/csv` | the same rows |
//! | `ur`, `application/xml` | usage records (OGF GFD.98), one for each order |
//!
//! `format` wins over `Accept`. Rows are told apart by what `by` names. By order they come in pages, as usage records do;
//! a site keeps the accounts of single orders as long as the audit, and everything else for ever.

use std::collections::BTreeMap;

use archipel_model::plugin::Operation;
use archipel_model::{Error, Timestamp};
use archipel_orders::store::Visible;
use archipel_orders::usage::{Spent, UsageQuery};
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Uri, header};

use crate::authenticate::Who;
use crate::authorize;
use crate::cursor::Bound;
use crate::openapi::{Op, Routes};
use crate::page;
use crate::problem::{Answer, Problem};
use crate::query::{self, Param, Query};
use crate::state::App;
use crate::view::usage::{By, Format, Row, UsageList, Value, key_of};
use crate::view::usage_record;

/// Most rows of one answer. Bounds memory; who wants more asks for less to be told apart, or by order.
const ROWS: usize = 50_000;

/// What a user's own usage is told apart by.
const OWN: [By; 3] = [By::Cloud, By::Kind, By::Class];
/// What a site's usage is told apart by.
const SITE: [By; 4] = [By::User, By::Group, By::Cloud, By::Class];

pub(crate) fn routes(routes: Routes) -> Routes {
    let about = "Instances, vcpu, MiB and GiB times seconds between `from` and `to`, by class (running, paused, stopped, \
        hibernated, failed); what runs counts until `to`. Metered is from fulfilled to closing, by what the cloud granted. \
        With `by=order` there are pages. `format` (or `Accept`) chooses JSON, CSV, or usage records of OGF GFD.98.";
    let op = |id, summary| {
        Op::new(id, summary)
            .about(about)
            .query(query::USAGE)
            .answer::<UsageList>(200, "What was used.")
            .also(200, Format::Csv.media())
            .also(200, Format::UsageRecords.media())
            .problems(&[422])
    };
    routes
        .get("/v1/usage", op("get-usage", "What the caller used (and his group, where he may see it)"), own)
        .get("/v1/admin/usage", op("get-site-usage", "What everybody used"), site)
}

async fn own(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    uri: Uri,
    headers: HeaderMap,
) -> Answer<Response> {
    let asked = Asked::read(&app, raw.as_deref(), &headers, &OWN)?;
    let cloud = asked.query.cloud()?.map(|cloud| cloud.to_string());
    let granted = authorize::allow_cloud(&app, &who, Operation::List, "usage", cloud.as_deref()).await?;
    let visible = match authorize::visible(&who, &granted) {
        // Everybody's is /v1/admin/usage.
        Visible::Any => Visible::Own(who.caller.user.owner()),
        visible => visible,
    };
    asked.answer(&app, &who, &uri, visible).await
}

async fn site(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    uri: Uri,
    headers: HeaderMap,
) -> Answer<Response> {
    let asked = Asked::read(&app, raw.as_deref(), &headers, &SITE)?;
    authorize::allow_admin(&app, &who).await?;
    asked.answer(&app, &who, &uri, Visible::Any).await
}

/// What is asked for, before the policy is.
struct Asked {
    query: Query,
    format: Format,
    by: Vec<By>,
    from: Option<Timestamp>,
    to: Timestamp,
    now: Timestamp,
}

impl Asked {
    fn read(app: &App, raw: Option<&str>, headers: &HeaderMap, otherwise: &[By]) -> Answer<Self> {
        let query = Query::read(raw, query::USAGE)?;
        let now = app.clock.now();
        let (from, to) = (query.time(Param::From)?, query.time(Param::To)?);
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            return Err(Error::invalid("from: is not before to; exchange them")
                .detail("field", "from")
                .into());
        }
        let format = format(&query, headers)?;
        let by = by(&query, format)?.unwrap_or_else(|| otherwise.to_vec());
        if !by.contains(&By::Order) {
            query.limit(&app.limits)?;
            if query.cursor().is_some() {
                return Err(contradiction("cursor", "there are pages only with by=order"));
            }
        }
        // What is to come is not used yet.
        let to = to.map_or(now, |to| to.min(now));
        Ok(Self { query, format, by, from, to, now })
    }

    async fn answer(self, app: &App, who: &Who, uri: &Uri, visible: Visible) -> Answer<Response> {
        let wanted = UsageQuery {
            visible,
            group: self.query.text(Param::Group),
            cloud: self.query.cloud()?,
            kind: self.query.kind()?,
            from: self.from.unwrap_or_else(|| Timestamp::from_millis(0)).min(self.to),
            to: self.to,
        };
        match self.by.contains(&By::Order) {
            true => self.by_order(app, who, uri, wanted).await,
            false => self.rows(app, wanted).await,
        }
    }

    async fn rows(self, app: &App, wanted: UsageQuery) -> Answer<Response> {
        let mut sums: BTreeMap<Vec<Value>, (Spent, Spent)> = BTreeMap::new();
        for usage in app.usage.lines(&wanted).await? {
            let (before, after) = sums.entry(key_of(&usage.line, &self.by)).or_default();
            (*before, *after) = (before.and(usage.before), after.and(usage.after));
            if sums.len() > ROWS {
                let text = format!("by: that makes more than {ROWS} rows; tell less apart, or ask by=order");
                return Err(Error::invalid(text).detail("field", "by").into());
            }
        }
        let row = |(values, (before, after)): (Vec<Value>, (Spent, Spent))| Row {
            by: self.by.iter().copied().zip(values).collect(),
            times: None,
            used: after.since(before),
        };
        let items = sums.into_iter().map(row).collect();
        self.written(items, None)
    }

    async fn by_order(self, app: &App, who: &Who, uri: &Uri, wanted: UsageQuery) -> Answer<Response> {
        // The end of the range may be now, which moves from page to page.
        let filters = format!("{:?}", (uri.path(), self.from, &wanted.group, &wanted.cloud, &wanted.kind));
        let bound = Bound::new(&app.keys, "usage-cursor", &who.caller.user.owner(), &filters);
        let after = self.query.cursor().map(|cursor| bound.order(cursor)).transpose()?;
        let page = app.usage.orders(&wanted, after, self.query.limit(&app.limits)?).await?;
        let next = page.next.map(|id| bound.after_order(id));
        let link = next.as_deref().and_then(|next| page::link(uri, next));
        let mut response = match self.format {
            Format::UsageRecords => {
                typed(Format::UsageRecords, usage_record::document(&page.items, self.from, self.to, self.now))
            }
            Format::Json | Format::Csv => {
                let rows = page.items.iter().flat_map(|usage| {
                    let each = usage.classes.iter();
                    each.map(|(class, before, after)| Row::of_order(usage, *class, after.since(*before)))
                });
                let items = rows.collect();
                self.written(items, next)?
            }
        };
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    }

    fn written(self, items: Vec<Row>, next: Option<String>) -> Answer<Response> {
        // By order, every column is told.
        let columns: Vec<By> = match self.by.contains(&By::Order) {
            true => {
                [By::Order].into_iter().chain(By::ALL.into_iter().filter(|by| *by != By::Order)).collect()
            }
            false => self.by,
        };
        let list = UsageList {
            from: self.from,
            to: self.to,
            by: columns.iter().map(|by| by.as_str()).collect(),
            items,
            next,
            incomplete: Vec::new(),
        };
        Ok(match self.format {
            Format::Csv => typed(Format::Csv, list.csv(&columns)),
            Format::Json | Format::UsageRecords => {
                let mut response = Json(list).into_response();
                vary(&mut response);
                response
            }
        })
    }
}

fn typed(format: Format, text: String) -> Response {
    let media = match format {
        Format::Csv => "text/csv; charset=utf-8; header=present",
        other => other.media(),
    };
    let mut response = ([(header::CONTENT_TYPE, HeaderValue::from_static(media))], text).into_response();
    vary(&mut response);
    response
}

fn vary(response: &mut Response) {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("authorization, accept"));
}

/// `?format=`, else the first format that `Accept` names.
fn format(query: &Query, headers: &HeaderMap) -> Answer<Format> {
    if let Some(text) = query.text(Param::Format) {
        let found = Format::ALL.into_iter().find(|format| format.as_str() == text);
        return found.ok_or_else(|| query::bad("format", "write json, csv or ur"));
    }
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut named = accepted.flat_map(|value| value.split(',')).filter_map(|range| {
        let media = range.split(';').next().unwrap_or_default().trim();
        Format::ALL.into_iter().find(|format| media.eq_ignore_ascii_case(format.media()))
    });
    Ok(named.next().unwrap_or(Format::Json))
}

/// Each parameter is right, and together they are not.
fn contradiction(field: &'static str, text: &str) -> Problem {
    Error::invalid(format!("{field}: {text}")).detail("field", field).into()
}

/// What rows are to be told apart by.
fn by(query: &Query, format: Format) -> Answer<Option<Vec<By>>> {
    let is_record = format == Format::UsageRecords;
    let Some(text) = query.text(Param::By) else { return Ok(is_record.then(|| vec![By::Order])) };
    let mut all: Vec<By> = Vec::new();
    for word in text.split(',').map(str::trim) {
        let by = By::ALL.into_iter().find(|by| by.as_str() == word).ok_or_else(|| {
            let known = By::ALL.map(By::as_str).join(", ");
            query::bad(
                "by",
                &format!("{:?} is not one of {known}", word.chars().take(32).collect::<String>()),
            )
        })?;
        if !all.contains(&by) {
            all.push(by);
        }
    }
    if all.contains(&By::Order) && all.len() > 1 {
        return Err(contradiction("by", "order stands alone: a row for an order has everything else"));
    }
    if is_record && all != [By::Order] {
        return Err(contradiction("by", "usage records are by order"));
    }
    Ok(Some(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    fn chosen(raw: &str, accept: &str) -> Result<Format, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        format(&Query::read(Some(raw), query::USAGE)?, &headers)
    }

    #[test]
    fn the_query_wins_over_the_header_and_json_is_the_rest() {
        assert_eq!(chosen("", "*/*").unwrap(), Format::Json);
        assert_eq!(chosen("", "text/html, text/csv;q=0.5").unwrap(), Format::Csv);
        assert_eq!(chosen("", "application/xml").unwrap(), Format::UsageRecords);
        assert_eq!(chosen("format=ur", "text/csv").unwrap(), Format::UsageRecords);
        assert!(chosen("format=xls", "*/*").is_err());
    }

    #[test]
    fn by_is_read_in_its_order_and_order_stands_alone() {
        let read = |raw: &str| by(&Query::read(Some(raw), query::USAGE).unwrap(), Format::Json);
        assert_eq!(read("by=class,user,class").unwrap().unwrap(), [By::Class, By::User]);
        assert_eq!(read("by=order").unwrap().unwrap(), [By::Order]);
        for wrong in ["by=order,user", "by=weather", "by="] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let record = by(&Query::read(Some("by=user"), query::USAGE).unwrap(), Format::UsageRecords);
        assert!(record.is_err());
    }
}
