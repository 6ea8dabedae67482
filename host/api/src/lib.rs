//! REST, OpenAPI, problem+json, events.
