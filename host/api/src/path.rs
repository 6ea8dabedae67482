//! What stands in a path. An id that is none is not found: it never names anything.

use archipel_model::OrderId;
use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use crate::problem::{Answer, Problem};
use crate::state::App;

/// Longest name in a path; no cloud, plugin, spec or image has a longer one.
const NAME_BYTES: usize = 255;

/// The parameters of the path that matched.
pub(crate) struct InPath(Vec<(String, String)>);

impl InPath {
    /// The parameter so named.
    pub(crate) fn text(&self, name: &str) -> Answer<&str> {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        value.filter(|value| value.len() <= NAME_BYTES).ok_or_else(Problem::not_found)
    }

    /// `{id}` as an order's id.
    pub(crate) fn order(&self) -> Answer<OrderId> {
        self.text("id")?.parse().map_err(|_| Problem::not_found())
    }
}

impl FromRequestParts<App> for InPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        let found = RawPathParams::from_request_parts(parts, app).await.map_err(|_| Problem::not_found())?;
        Ok(Self(found.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}
