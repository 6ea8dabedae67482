//! `/v1/orders/{id}/egress`: which requests left the site for an order. For administrators: it names the site's own
//! machines.

use archipel_orders::store::Visible;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::Uri;

use crate::authenticate::Who;
use crate::authorize;
use crate::openapi::{Op, Routes};
use crate::page::{Incomplete, List};
use crate::path::InPath;
use crate::problem::Answer;
use crate::query;
use crate::state::App;
use crate::view::egress::EgressView;

pub(crate) fn routes(routes: Routes) -> Routes {
    routes.get(
        "/v1/orders/{id}/egress",
        Op::new("list-order-egress", "Requests that left the site for an order")
            .about("For administrators. The newest first, kept for as long as the order is; of many only the newest (`limits.egress.ledger_per_order`), and `incomplete` says how many are not kept. Requests that serve many orders at once, such as lists and the logins of mappers, are not in it. A request is in it some moments after it ended.")
            .answer::<List<EgressView>>(200, "The requests that are kept."),
        of_order,
    )
}

async fn of_order(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
    uri: Uri,
) -> Answer<Response> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    let order = app.orders.get(&Visible::Any, path.order()?, None).await?;
    let kept = app.egress.of_order(order.id).await?;
    let mut list = List::whole(kept.entries.into_iter().map(EgressView::from).collect());
    if kept.forgotten > 0 {
        list.incomplete.push(Incomplete {
            site: app.info.id.to_string(),
            cloud: None,
            reason: format!("{} earlier requests are not kept any more", kept.forgotten),
        });
    }
    Ok(list.answer(&uri))
}
