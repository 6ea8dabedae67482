//! The body of a bulk request. Items stand alone: each is parsed by itself, and what is wrong with one is its own problem.

use archipel_model::Error;
use archipel_model::order::Kind;
use archipel_model::spec::CreateOrder;
use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::schema::{AnyOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::create::{AttachmentCreate, ComputeCreate, Create, NetworkCreate, VolumeCreate};
use crate::body;
use crate::problem::{Answer, Problem, table};

/// Many creates at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkCreate {
    /// Each is the body of its collection's POST, and its `kind`. References may be `$N`, an earlier item.
    #[schema(value_type = Vec<BulkItem>, min_items = 1, max_items = 1000)]
    pub(crate) orders: Vec<Value>,
}

/// One item; only its schema is used.
pub(crate) struct BulkItem;

impl ToSchema for BulkItem {}

impl PartialSchema for BulkItem {
    fn schema() -> RefOr<Schema> {
        let with_kind = |schema: RefOr<Schema>, kind: Kind| match schema {
            RefOr::T(Schema::Object(mut object)) => {
                let word = ObjectBuilder::new()
                    .schema_type(SchemaType::new(Type::String))
                    .enum_values(Some([kind.as_str()]));
                object.properties.insert("kind".to_owned(), word.into());
                object.required.push("kind".to_owned());
                RefOr::T(Schema::Object(object))
            }
            other => other,
        };
        let items = [
            (ComputeCreate::schema(), ComputeCreate::KIND),
            (VolumeCreate::schema(), VolumeCreate::KIND),
            (NetworkCreate::schema(), NetworkCreate::KIND),
            (AttachmentCreate::schema(), AttachmentCreate::KIND),
        ];
        let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(
            "Anything else: its result is a 422, and the other items are not touched by it.",
        ));
        items
            .into_iter()
            .fold(AnyOfBuilder::new(), |any_of, (schema, kind)| any_of.item(with_kind(schema, kind)))
            .item(any)
            .into()
    }
}

/// Reads item number `at`.
pub(crate) fn item(value: Value, at: usize) -> Answer<CreateOrder> {
    let place = format!("orders[{at}]");
    let Value::Object(mut members) = value else {
        return Err(Problem::new(table::INVALID, format!("{place}: not an object")).member("field", place));
    };
    let kind = match members.shift_remove("kind") {
        Some(Value::String(word)) => word.parse::<Kind>(),
        Some(_) => Err(Error::invalid("a kind is a string")),
        None => Err(Error::invalid("missing field `kind`")),
    };
    let kind = kind.map_err(|error| {
        Problem::new(table::INVALID, format!("{place}.kind: {}", error.message))
            .member("field", format!("{place}.kind"))
    })?;
    let value = Value::Object(members);
    match kind {
        Kind::Compute => body::parse_value::<ComputeCreate>(value, &place).map(Create::into_order),
        Kind::Volume => body::parse_value::<VolumeCreate>(value, &place).map(Create::into_order),
        Kind::Network => body::parse_value::<NetworkCreate>(value, &place).map(Create::into_order),
        Kind::Attachment => body::parse_value::<AttachmentCreate>(value, &place).map(Create::into_order),
        other => Err(Problem::new(table::UNSUPPORTED, format!("{place}: no orders of kind {other} here"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_item_names_its_place() {
        let field = |value: Value| {
            let problem = item(value, 3).unwrap_err();
            assert_eq!(problem.row().status, 422);
            problem.document("r")["field"].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(field(serde_json::json!([])), "orders[3]");
        assert_eq!(field(serde_json::json!({})), "orders[3].kind");
        assert_eq!(field(serde_json::json!({"kind": "cat"})), "orders[3].kind");
        assert_eq!(field(serde_json::json!({"kind": "volume", "size_gib": "1"})), "orders[3].size_gib");
        assert!(item(serde_json::json!({"kind": "volume", "size_gib": 1}), 0).is_ok());
    }
}
