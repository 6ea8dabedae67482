//! Schemas that types alone do not tell: patterns, ranges, words. Each says what the parser beside it takes.

use archipel_model::audit::Outcome;
use archipel_model::order::{Kind, State};
use archipel_model::power::PowerAction;
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::schema::{AdditionalProperties, Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, RefOr};

use crate::problem::table;
use crate::query::Param;
use crate::view::usage::{By, Format};

type Ref = RefOr<Schema>;

/// A label's key.
const LABEL_KEY: &str = r"^[a-z0-9][a-z0-9._/-]{0,62}$";
/// A cloud's name.
const CLOUD: &str = r"^[a-z][a-z0-9-]{0,62}$";
/// A cloud, with or without its site.
const CLOUD_AT_SITE: &str = r"^[a-z][a-z0-9-]{0,62}(@[a-z0-9.-]{1,253})?$";
/// The id of an order, in its one spelling, or an earlier item of a bulk request.
const ORDER_REF: &str = r"^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\$[0-9]{1,4})$";

fn object() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::Object))
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String))
}

fn integer(least: u64, most: u64) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)).minimum(Some(least)).maximum(Some(most))
}

fn words(words: &[&str]) -> ObjectBuilder {
    string().enum_values(Some(words.iter().copied()))
}

fn closed(object: ObjectBuilder) -> ObjectBuilder {
    object.additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

fn or_null(schema: impl Into<Ref>) -> Ref {
    let null = ObjectBuilder::new().schema_type(SchemaType::new(Type::Null));
    AnyOfBuilder::new().item(null).item(schema).into()
}

fn map(values: impl Into<Ref>) -> ObjectBuilder {
    object().additional_properties(Some(AdditionalProperties::RefOr(values.into())))
}

fn time() -> ObjectBuilder {
    string().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

pub(crate) fn text() -> Ref {
    string().into()
}

/// An object of which nothing is said.
pub(crate) fn any_object() -> Ref {
    object().into()
}

/// A problem document.
pub(crate) fn problem() -> Ref {
    let types: Vec<String> =
        table::TABLE.iter().map(|row| format!("{}{}", table::PREFIX, row.code)).collect();
    object()
        .description(Some(
            "RFC 9457. Further members say what a client can act on, e.g. `dependants` or `field`.",
        ))
        .property("type", string().enum_values(Some(types)))
        .property("title", string())
        .property("status", integer(400, 599))
        .property("detail", string().description(Some("For a person.")))
        .property("instance", string().description(Some("`urn:archipel:request:ID`; finds the log line.")))
        .required("type")
        .required("title")
        .required("status")
        .required("detail")
        .required("instance")
        .into()
}

pub(crate) fn kind() -> Ref {
    words(&Kind::ALL.map(Kind::as_str)).into()
}

pub(crate) fn state() -> Ref {
    let all: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
    words(&all).description(Some("Where it stands.")).into()
}

pub(crate) fn action() -> Ref {
    let all: Vec<&str> = PowerAction::ALL.iter().map(|action| action.as_str()).collect();
    words(&all).into()
}

pub(crate) fn on_quota() -> Ref {
    words(&["fail", "wait"]).description(Some("What a quota refusal of the cloud does.")).into()
}

pub(crate) fn on_quota_or_null() -> Ref {
    or_null(on_quota())
}

pub(crate) fn allocation_or_null() -> Ref {
    or_null(words(&["dynamic", "static"]))
}

fn label_map(values: impl Into<Ref>) -> ObjectBuilder {
    let key: Schema = string().pattern(Some(LABEL_KEY)).build().into();
    map(values).property_names(Some(key)).max_properties(Some(64))
}

pub(crate) fn labels() -> Ref {
    label_map(string().max_length(Some(256))).description(Some("The user's own marks.")).into()
}

pub(crate) fn labels_or_null() -> Ref {
    or_null(labels())
}

pub(crate) fn label_changes_or_null() -> Ref {
    or_null(label_map(or_null(string().max_length(Some(256)))))
}

pub(crate) fn tags_or_null() -> Ref {
    let key: Schema = line(1).build().into();
    or_null(map(string().max_length(Some(255))).property_names(Some(key)).max_properties(Some(64)))
}

pub(crate) fn names_or_null() -> Ref {
    or_null(ArrayBuilder::new().items(line(1)).max_items(Some(64)))
}

/// One line of text: a name, an id, a tag.
const LINE: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

fn line(least: usize) -> ObjectBuilder {
    string().min_length(Some(least)).max_length(Some(255)).pattern(Some(LINE))
}

pub(crate) fn text_of_255() -> Ref {
    line(1).into()
}

pub(crate) fn text_or_null() -> Ref {
    or_null(line(1))
}

pub(crate) fn name_or_null() -> Ref {
    or_null(line(0))
}

pub(crate) fn credentials() -> Ref {
    map(string()).max_properties(Some(32)).into()
}

pub(crate) fn cloud_or_null() -> Ref {
    or_null(string().pattern(Some(CLOUD_AT_SITE)))
}

pub(crate) fn order_ref() -> Ref {
    string().pattern(Some(ORDER_REF)).into()
}

fn one_member(name: &str, value: impl Into<Ref>) -> ObjectBuilder {
    closed(object().property(name, value).required(name))
}

pub(crate) fn lease_or_null() -> Ref {
    let until = one_member("expires_at", time().description(Some("In the future.")));
    let length = one_member("duration_s", integer(1, 316_224_000));
    or_null(OneOfBuilder::new().item(until).item(length))
}

pub(crate) fn network_refs_or_null() -> Ref {
    let ours = one_member("order", order_ref());
    let theirs = one_member("cloud_id", line(1));
    or_null(ArrayBuilder::new().items(OneOfBuilder::new().item(ours).item(theirs)).max_items(Some(64)))
}

pub(crate) fn volume_source_or_null() -> Ref {
    or_null(OneOfBuilder::new().item(one_member("image", line(1))).item(one_member("snapshot", line(1))))
}

pub(crate) fn cidr() -> Ref {
    string().min_length(Some(4)).max_length(Some(49)).pattern(Some(r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")).into()
}

pub(crate) fn address_or_null() -> Ref {
    or_null(string().max_length(Some(45)).pattern(Some(r"^[0-9a-fA-F.:]+$")))
}

pub(crate) fn key() -> Ref {
    string().min_length(Some(1)).max_length(Some(255)).pattern(Some(r"^[!-~]+$")).into()
}

pub(crate) fn prefer() -> Ref {
    // Any value is taken: what is not understood is passed over, as RFC 7240 asks.
    string().into()
}

pub(crate) fn etags() -> Ref {
    string().pattern(Some(r#"^(\*|"[0-9]{1,19}"|[0-9]{1,19})$"#)).into()
}

/// A parameter in the path. Anything may be tried; what is no id is simply not found.
pub(crate) fn path_parameter(name: &str) -> Ref {
    match name {
        "id" => string().format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))).into(),
        _ => string().min_length(Some(1)).into(),
    }
}

pub(crate) fn query_parameter(param: Param) -> Ref {
    let flag = || ObjectBuilder::new().schema_type(SchemaType::new(Type::Boolean)).into();
    match param {
        Param::Limit => integer(1, 1000).default(Some(100.into())).into(),
        Param::Cursor => text(),
        Param::State => ArrayBuilder::new().items(state()).into(),
        Param::Kind => kind(),
        Param::Cloud => string().pattern(Some(CLOUD)).into(),
        Param::Site => string()
            .max_length(Some(253))
            .pattern(Some(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$"))
            .into(),
        Param::Label => {
            let label = string().pattern(Some(r"^[a-z0-9][a-z0-9._/-]{0,62}:.{0,256}$"));
            ArrayBuilder::new().items(label).max_items(Some(64)).into()
        }
        Param::Unreachable | Param::Refresh | Param::Cascade | Param::DryRun => flag(),
        Param::From | Param::To | Param::At => time().into(),
        Param::Issuer | Param::Subject | Param::Operation | Param::Group => text(),
        Param::Order => string().format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))).into(),
        Param::Outcome => words(&Outcome::ALL.map(Outcome::as_str)).into(),
        Param::Address => {
            let of = |format: &str| string().format(Some(SchemaFormat::Custom(format.to_owned())));
            OneOfBuilder::new().item(of("ipv4")).item(of("ipv6")).into()
        }
        Param::Head => string().pattern(Some(r"^[0-9]{1,20}:[0-9a-fA-F]{64}$")).into(),
        Param::By => {
            let words = By::ALL.map(By::as_str).join("|");
            string().pattern(Some(format!("^({words})(,({words}))*$"))).into()
        }
        Param::Format => words(&Format::ALL.map(Format::as_str)).into(),
    }
}

pub(crate) const fn query_about(param: Param) -> &'static str {
    match param {
        Param::Limit => "Items on a page.",
        Param::Cursor => "`next` of the page before; with the same filters.",
        Param::State => {
            "Orders in one of these states; repeat it, or separate by commas. Without it: all but closed."
        }
        Param::Kind => "Orders of this kind.",
        Param::Cloud => "Orders at this cloud.",
        Param::Site => "Orders provided by this site.",
        Param::Label => "Orders with this label, `key:value`; repeated: with all of them.",
        Param::Unreachable => "Orders with, or without, the condition `unreachable`.",
        Param::Refresh => "Ask the cloud first.",
        Param::Cascade => "Delete what rests on it, too. A network's cascade needs If-Match.",
        Param::DryRun => "Only say what would be deleted.",
        Param::From => "From this instant on (RFC 3339); from the beginning where left out.",
        Param::To => "Before this instant (RFC 3339); until now where left out.",
        Param::Issuer => "Of users of this issuer.",
        Param::Subject => "Of users with this subject.",
        Param::Order => "About this order.",
        Param::Operation => "Of this operation, by its id in this document.",
        Param::Outcome => "With this outcome.",
        Param::Address => "From this address.",
        Param::At => "At this instant (RFC 3339); now where left out.",
        Param::Head => "A head that was noted earlier, `SEQUENCE:HASH`.",
        Param::Group => "Of this group.",
        Param::By => {
            "What is told apart, separated by commas: `user`, `group`, `cloud`, `site`, `requesting_site`, `kind`, `class`; \
             or `order` alone."
        }
        Param::Format => "Instead of `Accept`: `json`, `csv`, or `ur` for usage records (OGF GFD.98) in XML.",
    }
}
