//! Usage as JSON and as CSV: rows told apart by what was asked for, with amounts times seconds.

use std::borrow::Cow;

use archipel_model::Timestamp;
use archipel_orders::usage::{Class, Line, OrderUsage, Seconds};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::page::Incomplete;

/// How usage is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
    /// Usage records, OGF GFD.98.
    UsageRecords,
}

impl Format {
    pub(crate) const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::UsageRecords];

    /// In `?format=`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::UsageRecords => "ur",
        }
    }

    /// In `Accept` and `Content-Type`.
    pub(crate) const fn media(self) -> &'static str {
        match self {
            Self::Json => crate::body::JSON,
            Self::Csv => "text/csv",
            Self::UsageRecords => "application/xml",
        }
    }
}

/// What rows are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    User,
    Group,
    Cloud,
    Site,
    RequestingSite,
    Kind,
    Class,
    Order,
}

impl By {
    pub(crate) const ALL: [Self; 8] = [
        Self::User,
        Self::Group,
        Self::Cloud,
        Self::Site,
        Self::RequestingSite,
        Self::Kind,
        Self::Class,
        Self::Order,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Cloud => "cloud",
            Self::Site => "site",
            Self::RequestingSite => "requesting_site",
            Self::Kind => "kind",
            Self::Class => "class",
            Self::Order => "order",
        }
    }
}

/// One value that rows are told apart by. Sorts as rows are sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Text(String),
    None,
    User { issuer: String, subject: String },
}

impl Value {
    fn of_line(line: &Line, by: By) -> Self {
        let text = |text: &str| Self::Text(text.to_owned());
        match by {
            By::User => Self::User { issuer: line.owner.issuer.clone(), subject: line.owner.subject.clone() },
            By::Group => line.group.clone().map_or(Self::None, Self::Text),
            By::Cloud => text(line.cloud.as_str()),
            By::Site => text(line.site.as_str()),
            By::RequestingSite => text(line.requesting_site.as_str()),
            By::Kind => text(line.kind.as_str()),
            By::Class => text(line.class.as_str()),
            By::Order => Self::None,
        }
    }
}

/// What a line is told apart by.
pub(crate) fn key_of(line: &Line, by: &[By]) -> Vec<Value> {
    by.iter().map(|by| Value::of_line(line, *by)).collect()
}

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) by: Vec<(By, Value)>,
    /// Of a row for an order.
    pub(crate) times: Option<(Timestamp, Option<Timestamp>)>,
    pub(crate) used: Seconds,
}

impl Row {
    /// What one order used in one class.
    pub(crate) fn of_order(usage: &OrderUsage, class: Class, used: Seconds) -> Self {
        let account = &usage.account;
        let line = Line {
            owner: account.owner.clone(),
            group: account.group.clone(),
            cloud: account.cloud.clone(),
            site: account.site.clone(),
            requesting_site: account.requesting_site.clone(),
            kind: account.kind,
            class,
        };
        let value = |by| match by {
            By::Order => Value::Text(account.order.to_string()),
            by => Value::of_line(&line, by),
        };
        let by = [By::Order].into_iter().chain(By::ALL.into_iter().filter(|by| *by != By::Order));
        let by = by.map(|by| (by, value(by))).collect();
        Self { by, times: Some((account.started_at, account.ended_at)), used }
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (by, value) in &self.by {
            match value {
                Value::Text(text) => map.serialize_entry(by.as_str(), text)?,
                Value::None => map.serialize_entry(by.as_str(), &None::<&str>)?,
                Value::User { issuer, subject } => {
                    let user = serde_json::json!({"issuer": issuer, "subject": subject});
                    map.serialize_entry(by.as_str(), &user)?;
                }
            }
        }
        if let Some((started, ended)) = &self.times {
            map.serialize_entry("started_at", started)?;
            map.serialize_entry("ended_at", ended)?;
        }
        let Seconds { instance_s, vcpu_s, ram_mib_s, disk_gib_s } = self.used;
        for (name, amount) in amounts(instance_s, vcpu_s, ram_mib_s, disk_gib_s) {
            map.serialize_entry(name, &amount)?;
        }
        map.end()
    }
}

const fn amounts(instance: u64, vcpu: u64, ram: u64, disk: u64) -> [(&'static str, u64); 4] {
    [("instance_s", instance), ("vcpu_s", vcpu), ("ram_mib_s", ram), ("disk_gib_s", disk)]
}

impl ToSchema for Row {
    fn name() -> Cow<'static, str> {
        "UsageRow".into()
    }
}

impl PartialSchema for Row {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
        let or_null = || ObjectBuilder::new().schema_type(SchemaType::Array(vec![Type::String, Type::Null]));
        let user = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Object))
            .property("issuer", text())
            .property("subject", text())
            .required("issuer")
            .required("subject");
        let mut row = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Object))
            .description(Some("What was used; only what `by` names is there beside the amounts."))
            .property("user", user)
            .property("group", or_null())
            .property("cloud", text())
            .property("site", text().description(Some("The providing site.")))
            .property("requesting_site", text())
            .property("kind", text())
            .property("class", text().enum_values(Some(Class::ALL.map(Class::as_str))))
            .property("order", text().description(Some("With `by=order`.")))
            .property("started_at", text().description(Some("With `by=order`: when metering began.")))
            .property("ended_at", or_null().description(Some("With `by=order`: null while it goes on.")));
        for (name, about) in [
            ("instance_s", "Instances times seconds."),
            ("vcpu_s", "Virtual CPUs times seconds."),
            ("ram_mib_s", "MiB of memory times seconds."),
            ("disk_gib_s", "GiB of storage times seconds."),
        ] {
            let amount = ObjectBuilder::new()
                .schema_type(SchemaType::new(Type::Integer))
                .minimum(Some(0))
                .description(Some(about));
            row = row.property(name, amount).required(name);
        }
        row.into()
    }
}

/// What was used between two instants.
#[derive(Debug, Serialize)]
pub(crate) struct UsageList {
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Timestamp,
    pub(crate) by: Vec<&'static str>,
    pub(crate) items: Vec<Row>,
    pub(crate) next: Option<String>,
    pub(crate) incomplete: Vec<Incomplete>,
}

impl ToSchema for UsageList {
    fn name() -> Cow<'static, str> {
        "UsageList".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Row::name().into_owned(), Row::schema()));
        schemas.push((Incomplete::name().into_owned(), Incomplete::schema()));
    }
}

impl PartialSchema for UsageList {
    fn schema() -> RefOr<Schema> {
        let or_null = || ObjectBuilder::new().schema_type(SchemaType::Array(vec![Type::String, Type::Null]));
        let text = || ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Object))
            .property("from", or_null().description(Some("Null = from the beginning.")))
            .property("to", text().description(Some("What runs counts until then.")))
            .property("by", ArrayBuilder::new().items(text()))
            .property("items", ArrayBuilder::new().items(Ref::from_schema_name(Row::name())))
            .property("next", or_null().description(Some("With `by=order`: the next page.")))
            .property("incomplete", ArrayBuilder::new().items(Ref::from_schema_name(Incomplete::name())))
            .required("to")
            .required("by")
            .required("items")
            .required("next")
            .required("incomplete")
            .into()
    }
}

impl UsageList {
    /// As CSV (RFC 4180): a line of names, then a line for each row, each with the range that it is about, so that a file
    /// can be read by itself. A user is two columns.
    pub(crate) fn csv(&self, columns: &[By]) -> String {
        let is_by_order = columns.contains(&By::Order);
        let mut names = vec!["from", "to"];
        for by in columns {
            match by {
                By::User => names.extend(["issuer", "subject"]),
                by => names.push(by.as_str()),
            }
        }
        if is_by_order {
            names.extend(["started_at", "ended_at"]);
        }
        names.extend(amounts(0, 0, 0, 0).map(|(name, _)| name));
        let mut text = names.join(",") + "\r\n";
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        for row in &self.items {
            let mut fields = vec![time(self.from), self.to.to_string()];
            for (_, value) in &row.by {
                match value {
                    Value::Text(text) => fields.push(field(text)),
                    Value::None => fields.push(String::new()),
                    Value::User { issuer, subject } => fields.extend([field(issuer), field(subject)]),
                }
            }
            if let Some((started, ended)) = row.times {
                fields.extend([started.to_string(), time(ended)]);
            }
            let Seconds { instance_s, vcpu_s, ram_mib_s, disk_gib_s } = row.used;
            let used = amounts(instance_s, vcpu_s, ram_mib_s, disk_gib_s);
            fields.extend(used.map(|(_, amount)| amount.to_string()));
            text.push_str(&fields.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

/// A field of CSV, quoted where it must be.
fn field(text: &str) -> String {
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_must_be_quoted() {
        assert_eq!(field("plain"), "plain");
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("say \"so\"\n"), "\"say \"\"so\"\"\n\"");
    }

    #[test]
    fn a_row_has_as_many_fields_as_there_are_names() {
        let user = Value::User { issuer: "i".into(), subject: "s".into() };
        let by = [By::User, By::Group, By::Class];
        let values = [user, Value::None, Value::Text("running".into())];
        let used = Seconds { instance_s: 1, vcpu_s: 2, ram_mib_s: 3, disk_gib_s: 4 };
        let row = Row { by: by.into_iter().zip(values).collect(), times: None, used };
        let list = UsageList {
            from: None,
            to: Timestamp::from_millis(0),
            by: Vec::new(),
            items: vec![row],
            next: None,
            incomplete: Vec::new(),
        };
        assert_eq!(
            list.csv(&by),
            "from,to,issuer,subject,group,class,instance_s,vcpu_s,ram_mib_s,disk_gib_s\r\n\
             ,1970-01-01T00:00:00.000Z,i,s,,running,1,2,3,4\r\n"
        );
    }
}
