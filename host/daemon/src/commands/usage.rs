//! `archipel usage`: what was used, as a table, as CSV, or as usage records.

use std::io::Write;

use serde_json::{Map, Value};

use clap::{Args, ValueEnum};

use crate::cli::DoorArgs;
use crate::commands::order::escaped;
use crate::output::{Answer, Outcome, Printer, table};

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// From this time on (RFC 3339); from the beginning where left out.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Before this time; until now where left out.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Only of this group.
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// Only of this cloud.
    #[arg(long)]
    pub(crate) cloud: Option<String>,
    /// Only of this kind.
    #[arg(long)]
    pub(crate) kind: Option<archipel_model::order::Kind>,
    /// What is told apart: user, group, cloud, site, requesting_site, kind, class, separated by commas; or order.
    #[arg(long, value_name = "WORDS")]
    pub(crate) by: Option<String>,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = UsageFormat::Table)]
    pub(crate) format: UsageFormat,
    /// With --url: everybody's, as an administrator.
    #[arg(long)]
    pub(crate) all: bool,
}

/// How usage is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UsageFormat {
    /// For people; with `--output json`, for programs.
    Table,
    /// Comma-separated values (RFC 4180).
    Csv,
    /// Usage records in XML (OGF GFD.98), one for each order.
    Ur,
}

/// Amounts, with how they are headed.
const AMOUNTS: [(&str, &str); 4] = [
    ("instance_s", "INSTANCE S"),
    ("vcpu_s", "VCPU S"),
    ("ram_mib_s", "RAM MIB S"),
    ("disk_gib_s", "DISK GIB S"),
];

pub(crate) async fn run(args: &UsageArgs, door: &DoorArgs, printer: &Printer) -> Outcome {
    let client = door.client()?;
    let is_admin = args.all || door.url.is_none();
    let base = if is_admin { "/v1/admin/usage" } else { "/v1/usage" };
    let format = match args.format {
        UsageFormat::Table => "json",
        UsageFormat::Csv => "csv",
        UsageFormat::Ur => "ur",
    };
    let mut query = vec![format!("format={format}"), "limit=1000".to_owned()];
    let kind = args.kind.map(|kind| kind.to_string());
    for (name, value) in [
        ("from", &args.from),
        ("to", &args.to),
        ("group", &args.group),
        ("cloud", &args.cloud),
        ("kind", &kind),
        ("by", &args.by),
    ] {
        query.extend(value.as_ref().map(|value| format!("{name}={}", escaped(value))));
    }
    let path = format!("{base}?{}", query.join("&"));
    match args.format {
        UsageFormat::Table => {
            let mut whole = Value::Null;
            let mut next = Some(path.clone());
            while let Some(page) = next {
                let mut answer = client.get(&page).await?.success()?;
                next = answer
                    .get("next")
                    .and_then(Value::as_str)
                    .map(|at| format!("{path}&cursor={}", escaped(at)));
                match whole.get_mut("items").and_then(Value::as_array_mut) {
                    Some(items) => {
                        items.extend(
                            answer
                                .get_mut("items")
                                .and_then(Value::as_array_mut)
                                .map(std::mem::take)
                                .into_iter()
                                .flatten(),
                        );
                    }
                    None => whole = answer,
                }
            }
            if let Some(whole) = whole.as_object_mut() {
                whole.insert("next".to_owned(), Value::Null);
            }
            printer.say(&shown(&whole), &whole);
        }
        UsageFormat::Csv | UsageFormat::Ur => {
            let mut next = Some(path.clone());
            let mut pages = 0;
            while let Some(page) = next {
                let answer = client.get(&page).await?;
                let link = answer.header("link").and_then(linked).map(str::to_owned);
                if !(200..300).contains(&answer.status()) {
                    answer.success()?;
                }
                write(args.format, &String::from_utf8_lossy(answer.bytes()), pages, link.is_none())?;
                pages += 1;
                next = link;
            }
        }
    }
    Ok(Answer::Yes)
}

/// The target of `<...>; rel="next"`.
fn linked(link: &str) -> Option<&str> {
    link.strip_prefix('<')?.split_once('>').map(|(target, _)| target)
}

/// Writes a page so that all of them are one document: names once, one element around all records.
fn write(format: UsageFormat, text: &str, page: usize, is_last: bool) -> std::io::Result<()> {
    const END: &str = "</urf:UsageRecords>\n";
    let text = match (format, page) {
        (UsageFormat::Csv, 1..) => text.split_once("\r\n").map_or("", |(_, rows)| rows),
        // The declaration and the root's begin.
        (UsageFormat::Ur, 1..) => text.splitn(3, '\n').nth(2).unwrap_or_default(),
        _ => text,
    };
    let text = match format {
        UsageFormat::Ur if !is_last => text.strip_suffix(END).unwrap_or(text),
        _ => text,
    };
    std::io::stdout().lock().write_all(text.as_bytes())
}

fn shown(answer: &Value) -> String {
    let rows: Vec<&Map<String, Value>> = answer
        .get("items")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .collect();
    let by: Vec<&str> =
        answer.get("by").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let time = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or("the beginning").to_owned();
    let range = format!("from {} to {}", time("from"), time("to"));
    if rows.is_empty() {
        return format!("nothing was used {range}");
    }
    let headings: Vec<String> = by.iter().map(|by| by.to_uppercase().replace('_', " ")).collect();
    let headings: Vec<&str> =
        headings.iter().map(String::as_str).chain(AMOUNTS.iter().map(|(_, heading)| *heading)).collect();
    let cell = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(user)) => {
            user.get("subject").and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        Some(Value::Number(number)) => number.to_string(),
        _ => "-".to_owned(),
    };
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let values = by.iter().map(|by| cell(row.get(*by)));
            values.chain(AMOUNTS.iter().map(|(name, _)| cell(row.get(*name)))).collect()
        })
        .collect();
    format!("{}\n\n{range}", table(&headings, &lines))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_link_leads_to_the_next_page() {
        assert_eq!(
            linked("</v1/usage?by=order&cursor=x>; rel=\"next\""),
            Some("/v1/usage?by=order&cursor=x")
        );
        assert_eq!(linked("nonsense"), None);
    }

    #[test]
    fn rows_are_shown_under_what_they_are_told_apart_by() {
        let answer = json!({"from": null, "to": "2026-11-22T00:00:00.000Z", "by": ["user", "group"], "items": [
            {"user": {"issuer": "i", "subject": "ada"}, "group": null, "instance_s": 1, "vcpu_s": 2, "ram_mib_s": 3, "disk_gib_s": 4},
        ]});
        assert_eq!(
            shown(&answer),
            "USER  GROUP  INSTANCE S  VCPU S  RAM MIB S  DISK GIB S\nada   -      1           2       3          4\n\n\
             from the beginning to 2026-11-22T00:00:00.000Z"
        );
    }
}
