//! `/v1/admin`: plugins and the configuration, for those whom the policy lets manage the whole site, and for the
//! administrator's socket.

mod export;

use archipel_identity::Granted;
use archipel_model::Error;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{StatusCode, Uri};

use crate::authenticate::Who;
use crate::authorize;
use crate::body::{self, JsonBody, OptionalBody};
use crate::input::login::Reason;
use crate::openapi::{Op, Routes};
use crate::page::List;
use crate::path::InPath;
use crate::problem::{Answer, Problem};
use crate::query;
use crate::routes::orders;
use crate::state::{App, Reloaded};
use crate::view::evidence::EvidenceView;
use crate::view::order::OrderView;
use crate::view::plugin::PluginView;

pub use export::Backups;

pub(crate) fn routes(routes: Routes) -> Routes {
    export::routes(routes)
        .get(
            "/v1/admin/plugins",
            Op::new("list-plugins", "All plugins")
                .answer::<List<PluginView>>(200, "Rejected and quarantined ones too."),
            plugins,
        )
        .get(
            "/v1/admin/plugins/{name}",
            Op::new("get-plugin", "One plugin").answer::<PluginView>(200, "With its figures and last error."),
            plugin,
        )
        .get(
            "/v1/admin/plugins/{name}/evidence",
            Op::new("get-plugin-evidence", "What a plugin's failures left behind")
                .about("The last calls that trapped, ran out of memory or of time: where they were, what they logged, which functions of the host they called, how their memory grew. Kept in memory until the daemon ends; the log has the call that sent a plugin into quarantine.")
                .answer::<EvidenceView>(200, "The newest failure first."),
            evidence,
        )
        .post(
            "/v1/admin/plugins/actions/reload",
            Op::new("reload-plugins", "Read the folder and the grants again")
                .answer::<List<PluginView>>(200, "All plugins as they stand now.")
                .problems(&[409, 422]),
            reload_all,
        )
        .post(
            "/v1/admin/plugins/{name}/actions/reload",
            Op::new("reload-plugin", "Read one plugin again")
                .answer::<PluginView>(200, "As it stands now.")
                .problems(&[409, 422]),
            reload,
        )
        .post(
            "/v1/admin/plugins/{name}/actions/quarantine",
            Op::new("quarantine-plugin", "Switch a plugin off")
                .optional_body::<Reason>()
                .answer::<PluginView>(200, "As it stands now.")
                .problems(&[409]),
            quarantine,
        )
        .post(
            "/v1/admin/plugins/{name}/actions/release",
            Op::new("release-plugin", "Switch a plugin on again")
                .answer::<PluginView>(200, "As it stands now.")
                .problems(&[409, 422]),
            release,
        )
        .post(
            "/v1/admin/orders/{id}/actions/forget",
            Op::new("forget-order", "Give up an order whose deletion does not end")
                .about("Closes it although its cloud may still hold an instance; the event `.forgotten` names what to look for. A reason is required.")
                .body::<Reason>()
                .answer::<OrderView<'_>>(200, "It is closed.")
                .problems(&[409]),
            forget,
        )
        .post(
            "/v1/admin/config/actions/reload",
            Op::new("reload-config", "Read the site file again")
                .about("Taken whole or not at all; what needs a restart is listed.")
                .answer::<Reloaded>(200, "What changed.")
                .problems(&[409, 422]),
            reload_config,
        )
}

async fn plugins(State(app): State<App>, RawQuery(raw): RawQuery, who: Who, uri: Uri) -> Answer<Response> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    Ok(List::whole(app.plugins.list().into_iter().map(PluginView::from).collect()).answer(&uri))
}

async fn plugin(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
) -> Answer<Json<PluginView>> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    Ok(Json(app.plugins.get(path.text("name")?).ok_or_else(Problem::not_found)?.into()))
}

async fn evidence(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
) -> Answer<Json<EvidenceView>> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    Ok(Json(app.plugins.evidence(path.text("name")?).ok_or_else(Problem::not_found)?.into()))
}

/// The name of a plugin that there is.
async fn known<'a>(app: &App, who: &Who, path: &'a InPath, raw: Option<&str>) -> Answer<&'a str> {
    query::none(raw)?;
    authorize::allow_admin(app, who).await?;
    let name = path.text("name")?;
    app.plugins.get(name).ok_or_else(Problem::not_found)?;
    Ok(name)
}

pub(crate) fn log(who: &Who, action: &str, on: &str) {
    let user = &who.caller.user;
    tracing::info!(request_id = %who.info.request_id, issuer = %user.issuer, subject = %user.subject, action, on, "an administrator acted");
}

async fn reload_all(State(app): State<App>, RawQuery(raw): RawQuery, who: Who, uri: Uri) -> Answer<Response> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    log(&who, "reload", "all plugins");
    let plugins = app.plugins.reload(None).await?;
    Ok(List::whole(plugins.into_iter().map(PluginView::from).collect()).answer(&uri))
}

async fn reload(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
) -> Answer<Json<PluginView>> {
    let name = known(&app, &who, &path, raw.as_deref()).await?;
    log(&who, "reload", name);
    let found = app.plugins.reload(Some(name)).await?.into_iter().find(|plugin| plugin.name == name);
    Ok(Json(found.or_else(|| app.plugins.get(name)).ok_or_else(Problem::not_found)?.into()))
}

async fn quarantine(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
    OptionalBody(bytes): OptionalBody,
) -> Answer<Json<PluginView>> {
    let name = known(&app, &who, &path, raw.as_deref()).await?;
    let asked = bytes.map(|bytes| body::parse::<Reason>(&bytes)).transpose()?.unwrap_or_default();
    let reason =
        asked.reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| "switched off by hand".to_owned());
    if reason.chars().count() > 1024 {
        return Err(Error::invalid("reason: longer than 1024 characters").detail("field", "reason").into());
    }
    log(&who, "quarantine", name);
    Ok(Json(app.plugins.quarantine(name, &reason).await?.into()))
}

async fn release(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
) -> Answer<Json<PluginView>> {
    let name = known(&app, &who, &path, raw.as_deref()).await?;
    log(&who, "release", name);
    Ok(Json(app.plugins.release(name).await?.into()))
}

async fn forget(
    State(app): State<App>,
    RawQuery(raw): RawQuery,
    who: Who,
    path: InPath,
    JsonBody(bytes): JsonBody,
) -> Answer {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    let asked: Reason = body::parse(&bytes)?;
    let id = path.order()?;
    let order = app.orders.forget(id, asked.reason.as_deref().unwrap_or_default()).await?;
    log(&who, "forget", &id.to_string());
    Ok(orders::shown(StatusCode::OK, &order, &Granted::default()))
}

async fn reload_config(State(app): State<App>, RawQuery(raw): RawQuery, who: Who) -> Answer<Json<Reloaded>> {
    query::none(raw.as_deref())?;
    authorize::allow_admin(&app, &who).await?;
    let hook = app
        .reload
        .as_ref()
        .ok_or_else(|| Error::unsupported("this daemon was started without a site file"))?;
    log(&who, "reload", "configuration");
    Ok(Json(hook.reload().await?))
}
