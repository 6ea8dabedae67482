//! The OpenAPI 3.1 document. Each route is added once, with its handler and its description together
//! ([`Routes`](crate::openapi::Routes)), so the document cannot name a path that is not served nor leave one out; schemas
//! come from the types that are parsed and written.

mod operation;
pub(crate) mod schemas;

use std::collections::BTreeMap;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, on};
use http::Method;
use serde_json::Value;
use utoipa::openapi::path::{HttpMethod, Paths, PathsBuilder};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, RefOr};

pub(crate) use operation::Op;

use crate::state::App;

/// Routes and their description, growing together.
pub(crate) struct Routes {
    router: Router<App>,
    paths: PathsBuilder,
    schemas: BTreeMap<String, RefOr<Schema>>,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self { router: Router::new(), paths: PathsBuilder::new(), schemas: BTreeMap::new() }
    }

    pub(crate) fn get<H: Handler<T, App>, T: 'static>(self, path: &str, op: Op, handler: H) -> Self {
        self.add(path, HttpMethod::Get, op, on(axum::routing::MethodFilter::GET, handler))
    }

    pub(crate) fn post<H: Handler<T, App>, T: 'static>(self, path: &str, op: Op, handler: H) -> Self {
        self.add(path, HttpMethod::Post, op, on(axum::routing::MethodFilter::POST, handler))
    }

    pub(crate) fn patch<H: Handler<T, App>, T: 'static>(self, path: &str, op: Op, handler: H) -> Self {
        self.add(path, HttpMethod::Patch, op, on(axum::routing::MethodFilter::PATCH, handler))
    }

    pub(crate) fn delete<H: Handler<T, App>, T: 'static>(self, path: &str, op: Op, handler: H) -> Self {
        self.add(path, HttpMethod::Delete, op, on(axum::routing::MethodFilter::DELETE, handler))
    }

    fn add(mut self, path: &str, method: HttpMethod, op: Op, route: MethodRouter<App>) -> Self {
        let (operation, schemas) = op.finish(path);
        self.schemas.extend(schemas);
        self.router = self.router.route(path, route);
        self.paths = self.paths.path(path, PathItem::new(method, operation));
        self
    }

    /// Both halves.
    pub(crate) fn split(self) -> (Router<App>, OpenApi) {
        (self.router, document(self.paths.build(), self.schemas))
    }
}

const ABOUT: &str = "Independent clouds as one federation. Every failure is an RFC 9457 problem document; \
    its `type` is stable. Lists are `{items, next, incomplete}`; `next` is the cursor of the next page. \
    POSTs that make something take an `Idempotency-Key`; orders have an `ETag`.";

fn document(paths: Paths, mut schemas: BTreeMap<String, RefOr<Schema>>) -> OpenApi {
    schemas.insert("Problem".to_owned(), schemas::problem());
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    let info = InfoBuilder::new()
        .title("Archipel")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license))
        .build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A site token from POST /v1/tokens, or a token of an issuer that the site knows."))
        .build();
    let components =
        schemas.into_iter().fold(ComponentsBuilder::new(), |all, (name, schema)| all.schema(name, schema));
    let components = components.security_scheme("bearer", SecurityScheme::Http(bearer)).build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

/// The names of all operations, by method and path. What serves GET serves HEAD.
pub(crate) fn operations(api: &OpenApi) -> BTreeMap<(Method, String), String> {
    let mut names = BTreeMap::new();
    for (path, item) in &api.paths.paths {
        let operations = [
            (Method::GET, &item.get),
            (Method::HEAD, &item.get),
            (Method::POST, &item.post),
            (Method::PATCH, &item.patch),
            (Method::DELETE, &item.delete),
        ];
        for (method, operation) in operations {
            if let Some(id) = operation.as_ref().and_then(|operation| operation.operation_id.clone()) {
                names.insert((method, path.clone()), id);
            }
        }
    }
    names
}

/// The document as JSON.
pub(crate) fn to_json(api: &OpenApi) -> Value {
    let mut document = serde_json::to_value(api).unwrap_or(Value::Null);
    name_links(&mut document);
    document
}

/// utoipa 5.5 writes a link's `operationId` as `operation_id`.
fn name_links(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(name_links),
        Value::Object(members) => {
            if let Some(id) = members.shift_remove("operation_id") {
                members.insert("operationId".to_owned(), id);
            }
            members.values_mut().for_each(name_links);
        }
        _ => {}
    }
}
