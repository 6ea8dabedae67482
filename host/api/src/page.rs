//! The envelope of every list, and its `Link` header (RFC 8288).

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Uri, header};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// A list.
#[derive(Debug, Serialize)]
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

/// Named after what it lists: `OrderList`.
impl<T: ToSchema> ToSchema for List<T> {
    fn name() -> Cow<'static, str> {
        format!("{}List", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        schemas.push((Incomplete::name().into_owned(), Incomplete::schema()));
        T::schemas(schemas);
    }
}

impl<T: ToSchema> PartialSchema for List<T> {
    fn schema() -> RefOr<Schema> {
        let named = |name| ArrayBuilder::new().items(Ref::from_schema_name(name));
        let next = ObjectBuilder::new()
            .schema_type(SchemaType::Array(vec![Type::String, Type::Null]))
            .description(Some("Give it back as `?cursor=` for the next page; null at the end."));
        let incomplete = named(Incomplete::name());
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Object))
            .property("items", named(T::name()))
            .property("next", next)
            .property(
                "incomplete",
                incomplete.description(Some("What could not be asked: the list is the rest.")),
            )
            .required("items")
            .required("next")
            .required("incomplete")
            .into()
    }
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
