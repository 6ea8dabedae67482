//! `/v1/admin/audit`: who did what, whether the record of it is whole, and who had an address. For administrators, and for
//! auditors: whom the policy lets `list` the kind `audit` with reach `any`, and who need no other right.

use std::net::IpAddr;

use archipel_model::Timestamp;
use archipel_model::audit::AuditQuery;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::Uri;

use crate::authenticate::Who;
use crate::authorize;
use crate::cursor::Bound;
use crate::openapi::{Op, Routes};
use crate::page::List;
use crate::path::InPath;
use crate::problem::{Answer, Problem};
use crate::query::{self, Param, Query};
use crate::state::App;
use crate::view::audit::{AddressUseView, AuditView, HeadView, VerificationView};

/// Records that one request verifies. Bounds its time; the cursor goes on.
const VERIFIED: usize = 20_000;

pub(crate) fn routes(routes: Routes) -> Routes {
    routes
        .get(
            "/v1/admin/audit",
            Op::new("list-audit", "Who did what")
                .about(
                    "Oldest first. A page may be short and have a `next`: it ends after so many records were looked at. For \
                     administrators, and whom the policy lets `list` the kind `audit` with reach `any`.",
                )
                .query(query::AUDIT)
                .answer::<List<AuditView>>(200, "A page of records."),
            list,
        )
        .get(
            "/v1/admin/audit/head",
            Op::new("get-audit-head", "The newest record's place in the chain")
                .about("Noted elsewhere from time to time, it shows later whether records at the end were taken away.")
                .answer::<HeadView>(200, "Sequence and hash."),
            head,
        )
        .get(
            "/v1/admin/audit/verification",
            Op::new("verify-audit", "Whether the chain of records is whole")
                .about(
                    "Walks along some of the chain; go on with `next` until it is null. With `head` it also tells whether a \
                     head that was noted earlier is in the chain.",
                )
                .query(query::VERIFICATION)
                .answer::<VerificationView>(200, "What was found."),
            verification,
        )
        .get(
            "/v1/admin/audit/addresses/{address}",
            Op::new("list-address-uses", "Which order had an address, and whose it was")
                .about("At the time `at`, or now. Private addresses may be in use by several at once.")
                .query(query::ADDRESS)
                .answer::<List<AddressUseView>>(200, "The latest first."),
            addresses,
        )
}

async fn list(State(app): State<App>, RawQuery(raw): RawQuery, who: Who, uri: Uri) -> Answer<Response> {
    let query = Query::read(raw.as_deref(), query::AUDIT)?;
    let mut wanted = AuditQuery {
        from: query.time(Param::From)?,
        to: query.time(Param::To)?,
        issuer: query.text(Param::Issuer),
        subject: query.text(Param::Subject),
        order: query.order()?,
        operation: query.text(Param::Operation),
        outcome: query.outcome()?,
        address: query.address()?.map(|address| address.to_string()),
        after: None,
        limit: query.limit(&app.limits)?,
    };
    let filters = format!("{:?}", AuditQuery { limit: 0, ..wanted.clone() });
    let bound = Bound::new(&app.keys, "audit-cursor", &who.caller.user.owner(), &filters);
    wanted.after = query.cursor().map(|cursor| bound.place(cursor)).transpose()?;
    authorize::allow_audit(&app, &who).await?;
    let page = app.audit.log().page(&wanted).await?;
    let next = page.next.map(|place| bound.after_place(place));
    Ok(List::page(page.items.into_iter().map(AuditView::of).collect(), next).answer(&uri))
}

async fn head(State(app): State<App>, RawQuery(raw): RawQuery, who: Who) -> Answer<Json<HeadView>> {
    query::none(raw.as_deref())?;
    authorize::allow_audit(&app, &who).await?;
    Ok(Json(HeadView::of(app.audit.log().head().await?)))
}

async fn verification(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
) -> Answer<Json<VerificationView>> {
    let query = Query::read(raw.as_deref(), query::VERIFICATION)?;
    let noted = query.head()?;
    let bound = Bound::new(&app.keys, "audit-walk", &who.caller.user.owner(), "");
    let after = query.cursor().map(|cursor| bound.link(cursor)).transpose()?;
    authorize::allow_audit(&app, &who).await?;
    let walk = app.audit.log().walk(after, VERIFIED).await?;
    let head_holds = match &noted {
        Some((sequence, hash)) => app.audit.log().holds(*sequence, hash).await?,
        None => None,
    };
    let goes_on = !walk.is_ended && walk.broken.is_none();
    let next = if goes_on { Some(bound.after_link(&walk.upto)?) } else { None };
    Ok(Json(VerificationView::of(walk, head_holds, next)))
}

async fn addresses(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
    uri: Uri,
) -> Answer<Response> {
    let query = Query::read(raw.as_deref(), query::ADDRESS)?;
    let at: Timestamp = query.time(Param::At)?.unwrap_or_else(|| app.clock.now());
    authorize::allow_audit(&app, &who).await?;
    let address: IpAddr = path.text("address")?.parse().map_err(|_| Problem::not_found())?;
    let found = app.audit.log().address(address, at).await?;
    Ok(List::whole(found.into_iter().map(AddressUseView::of).collect()).answer(&uri))
}
