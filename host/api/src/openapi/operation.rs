//! One operation's description, written beside the route.

use std::collections::BTreeMap;

use utoipa::ToSchema;
use utoipa::openapi::link::Link;
use utoipa::openapi::path::{
    Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, ParameterStyle,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, Header, Ref, RefOr, Required, ResponseBuilder};

use super::schemas;
use crate::body::{JSON, MERGE_PATCH};
use crate::problem::{self, table};
use crate::query::Param;

/// What an operation takes and gives.
pub(crate) struct Op {
    id: &'static str,
    summary: &'static str,
    about: Option<&'static str>,
    query: &'static [Param],
    headers: Vec<Parameter>,
    body: Option<RequestBody>,
    answers: BTreeMap<u16, ResponseBuilder>,
    problems: Vec<u16>,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Op {
    /// `id` is unique and never changes: generated clients are named by it.
    pub(crate) fn new(id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            summary,
            about: None,
            query: &[],
            headers: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            problems: Vec::new(),
            schemas: Vec::new(),
        }
    }

    /// What needs more than a line.
    pub(crate) fn about(mut self, text: &'static str) -> Self {
        self.about = Some(text);
        self
    }

    /// Query parameters.
    pub(crate) fn query(mut self, query: &'static [Param]) -> Self {
        self.query = query;
        if query.contains(&Param::Limit) {
            self.problems.push(422);
        }
        self
    }

    /// A request header that may be sent.
    pub(crate) fn header(mut self, name: &'static str, about: &'static str, schema: RefOr<Schema>) -> Self {
        let header =
            ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False);
        self.headers.push(header.description(Some(about)).schema(Some(schema)).build());
        self
    }

    /// Takes an `Idempotency-Key`.
    pub(crate) fn keyed(self) -> Self {
        let mut op = self.header(
            "Idempotency-Key",
            "The same key and body give the first answer again, for 24 h.",
            schemas::key(),
        );
        op.problems.extend([409, 422]);
        op
    }

    /// Takes `Prefer: wait=N`.
    pub(crate) fn waits(self) -> Self {
        self.header(
            "Prefer",
            "`wait=N`: wait up to N seconds (at most 60) for the order to settle.",
            schemas::prefer(),
        )
    }

    /// Takes `If-Match`.
    pub(crate) fn if_match(self) -> Self {
        let mut op =
            self.header("If-Match", "The ETag that was seen: 412 if it has changed.", schemas::etags());
        op.problems.push(412);
        op
    }

    /// Takes `If-None-Match`.
    pub(crate) fn if_none_match(self) -> Self {
        self.header("If-None-Match", "The ETag that is known: 304 if it still holds.", schemas::etags())
            .empty(304, "It has not changed.")
    }

    /// A JSON body.
    pub(crate) fn body<T: ToSchema>(self) -> Self {
        self.body_as::<T>(&[JSON], Required::True)
    }

    /// A JSON body that may be left out.
    pub(crate) fn optional_body<T: ToSchema>(self) -> Self {
        self.body_as::<T>(&[JSON], Required::False)
    }

    /// A merge patch.
    pub(crate) fn patch_body<T: ToSchema>(self) -> Self {
        self.body_as::<T>(&[MERGE_PATCH, JSON], Required::True)
    }

    fn body_as<T: ToSchema>(mut self, types: &[&str], required: Required) -> Self {
        let schema = self.named::<T>();
        let body = RequestBodyBuilder::new().required(Some(required));
        let content =
            |body: RequestBodyBuilder, media: &&str| body.content(*media, Content::new(Some(schema.clone())));
        self.body = Some(types.iter().fold(body, content).build());
        self.problems.extend([408, 413, 415, 422]);
        self
    }

    /// An answer in JSON.
    pub(crate) fn answer<T: ToSchema>(mut self, status: u16, about: &str) -> Self {
        let schema = self.named::<T>();
        let response = ResponseBuilder::new().description(about).content(JSON, Content::new(Some(schema)));
        self.answers.insert(status, response);
        self
    }

    /// An answer of another type: text, or an object that is described elsewhere.
    pub(crate) fn text(mut self, status: u16, about: &str, media: &str) -> Self {
        let schema = if media == JSON { schemas::any_object() } else { schemas::text() };
        let response = ResponseBuilder::new().description(about).content(media, Content::new(Some(schema)));
        self.answers.insert(status, response);
        self
    }

    /// The same answer in another type as well, where the client asks for it.
    pub(crate) fn also(mut self, status: u16, media: &str) -> Self {
        if let Some(response) = self.answers.remove(&status) {
            let response = response.content(media, Content::new(Some(schemas::text())));
            self.answers.insert(status, response);
        }
        self
    }

    /// An answer without a body.
    pub(crate) fn empty(mut self, status: u16, about: &str) -> Self {
        self.answers.insert(status, ResponseBuilder::new().description(about));
        self
    }

    /// Where what the answer made goes on: operations that take its `id`.
    pub(crate) fn links(mut self, status: u16, operations: &[&'static str]) -> Self {
        if let Some(response) = self.answers.remove(&status) {
            let link =
                |id: &str| Link::builder().operation_id(id).parameter("id", "$response.body#/id").build();
            let linked = operations.iter().fold(response, |response, id| response.link(*id, link(id)));
            self.answers.insert(status, linked);
        }
        self
    }

    /// Problems besides those of every operation.
    pub(crate) fn problems(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses);
        self
    }

    fn named<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        RefOr::Ref(Ref::from_schema_name(T::name()))
    }

    /// The operation at `path`, and the schemas that it names.
    pub(super) fn finish(mut self, path: &str) -> (Operation, Vec<(String, RefOr<Schema>)>) {
        let is_private = path.starts_with("/v1/");
        let is_open = path == "/v1/tokens";
        if is_private {
            self.problems.extend([400, 429, 500, 503]);
            self.problems.push(401);
            if !is_open {
                self.problems.push(403);
            }
        }
        let in_path: Vec<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        if !in_path.is_empty() {
            self.problems.push(404);
        }
        let tag = path.trim_start_matches("/v1/").split('/').next().filter(|_| is_private).unwrap_or("site");
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id))
            .summary(Some(self.summary))
            .description(self.about)
            .tag(tag)
            .request_body(self.body);
        let named = in_path.into_iter().map(|name| {
            let parameter =
                ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
            parameter.schema(Some(schemas::path_parameter(name))).build()
        });
        let asked = self.query.iter().map(|param| query_parameter(*param));
        for parameter in named.chain(asked).chain(self.headers) {
            operation = operation.parameter(parameter);
        }
        for (status, mut response) in self.answers {
            response = headers_of(status, response);
            operation = operation.response(status.to_string(), response.build());
        }
        self.problems.sort_unstable();
        self.problems.dedup();
        for status in self.problems {
            operation = operation.response(status.to_string(), problem_response(status));
        }
        let security = if is_private && !is_open {
            SecurityRequirement::new("bearer", [""; 0])
        } else {
            SecurityRequirement::default()
        };
        (operation.security(security).build(), self.schemas)
    }
}

fn headers_of(status: u16, response: ResponseBuilder) -> ResponseBuilder {
    let header = |about: &str| {
        let mut header = Header::new(schemas::text());
        header.description = Some(about.to_owned());
        header
    };
    let response = response.header("X-Request-Id", header("Finds the log lines."));
    match status {
        201 => response.header("Location", header("Where it is read.")),
        _ => response,
    }
}

fn problem_response(status: u16) -> utoipa::openapi::Response {
    let rows: Vec<String> = table::TABLE
        .iter()
        .filter(|row| row.status == status)
        .map(|row| format!("`{}`: {}", row.code, row.meaning))
        .collect();
    let content = Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name("Problem"))));
    ResponseBuilder::new().description(rows.join(" ")).content(problem::MEDIA_TYPE, content).build()
}

fn query_parameter(param: Param) -> Parameter {
    let mut parameter = ParameterBuilder::new()
        .name(param.name())
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .schema(Some(schemas::query_parameter(param)));
    if param.repeats() {
        parameter = parameter.style(Some(ParameterStyle::Form)).explode(Some(true));
    }
    parameter.description(Some(schemas::query_about(param))).build()
}
