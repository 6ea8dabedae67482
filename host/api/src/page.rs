//! The envelope of every list, and its `Link` header (RFC 8288).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Uri, header};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;

/// A list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// In the list's order.
    pub(crate) items: Vec<T>,
    /// Give it back as `?cursor=` for the next page; null at the end.
    pub(crate) next: Option<String>,
    /// What could not be asked, and why: the list is the rest.
    pub(crate) incomplete: Vec<Incomplete>,
}

/// Something that a list lacks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Incomplete {
    /// The site.
    pub(crate) site: String,
    /// The cloud.
    pub(crate) cloud: Option<String>,
    /// Why.
    pub(crate) reason: String,
}

impl<T: Serialize> List<T> {
    /// All there is.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None, incomplete: Vec::new() }
    }

    /// One page of it.
    pub(crate) fn page(items: Vec<T>, next: Option<String>) -> Self {
        Self { items, next, incomplete: Vec::new() }
    }

    /// As an answer to a request for `uri`.
    pub(crate) fn answer(self, uri: &Uri) -> Response {
        let link = self.next.as_deref().and_then(|next| link(uri, next));
        let mut response = Json(self).into_response();
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

/// `<the same path and query with this cursor>; rel="next"`, relative to the request.
pub(crate) fn link(uri: &Uri, next: &str) -> Option<HeaderValue> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if name != "cursor" {
            query.append_pair(&name, &value);
        }
    }
    query.append_pair("cursor", next);
    HeaderValue::from_str(&format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_keeps_the_filters_and_replaces_the_cursor() {
        let uri: Uri = "/v1/orders?state=open&cursor=old&label=a%3Ab".parse().unwrap();
        assert_eq!(
            link(&uri, "new").unwrap(),
            "</v1/orders?state=open&label=a%3Ab&cursor=new>; rel=\"next\""
        );
    }
}
