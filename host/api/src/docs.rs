//! `/docs`: the OpenAPI document as one readable page, self-contained: no script, nothing fetched from anywhere.

use std::fmt::Write as _;

use serde_json::Value;

use crate::problem::table;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}\
h1{font-size:1.8rem}h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de}code,pre{font-family:ui-monospace,monospace;font-size:.9em}\
details{border:1px solid #d0d7de;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}summary{cursor:pointer}\
.m{display:inline-block;min-width:4.2em;font-weight:600}.get{color:#0a6}.post{color:#06c}.patch{color:#a60}.delete{color:#c22}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;border-bottom:1px solid #eaeef2;padding:.3rem .5rem}\
pre{background:#f6f8fa;padding:.6rem;overflow:auto;border-radius:6px}nav a{margin-right:1rem}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}pre{background:#161b22}a{color:#58a6ff}details,td,th,h2{border-color:#30363d}}";

/// The page.
pub(crate) fn page(api: &Value) -> String {
    let mut out = String::new();
    let title = text(api, "/info/title");
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title} REST interface</title><style>{STYLE}</style></head><body><h1>{title} <small>{}</small></h1><p>{}</p>\
         <nav><a href=\"#operations\">Operations</a><a href=\"#schemas\">Schemas</a><a href=\"#problems\">Problems</a>\
         <a href=\"/openapi.json\">openapi.json</a></nav>",
        text(api, "/info/version"),
        prose(&text(api, "/info/description")),
    );
    operations(&mut out, api);
    schemas(&mut out, api);
    problems(&mut out);
    out.push_str("</body></html>");
    out
}

fn operations(out: &mut String, api: &Value) {
    out.push_str("<h2 id=\"operations\">Operations</h2>");
    for (path, item) in members(api, "/paths") {
        for method in ["get", "post", "patch", "delete"] {
            let Some(operation) = item.get(method) else { continue };
            let _ = write!(
                out,
                "<details id=\"{}\"><summary><span class=\"m {method}\">{}</span> <code>{}</code> {}</summary>",
                text(operation, "/operationId"),
                method.to_uppercase(),
                escape(path),
                prose(&text(operation, "/summary")),
            );
            let about = text(operation, "/description");
            if !about.is_empty() {
                let _ = write!(out, "<p>{}</p>", prose(&about));
            }
            parameters(out, operation);
            for (media, content) in members(operation, "/requestBody/content") {
                let _ = write!(
                    out,
                    "<p>Body <code>{}</code>: {}</p>",
                    escape(media),
                    named(content.get("schema"))
                );
            }
            out.push_str("<table><tr><th>Status</th><th>Answer</th></tr>");
            for (status, response) in members(operation, "/responses") {
                let shapes: Vec<String> =
                    members(response, "/content").map(|(_, content)| named(content.get("schema"))).collect();
                let _ = write!(
                    out,
                    "<tr><td>{}</td><td>{} {}</td></tr>",
                    escape(status),
                    prose(&text(response, "/description")),
                    shapes.join(", "),
                );
            }
            out.push_str("</table></details>");
        }
    }
}

fn parameters(out: &mut String, operation: &Value) {
    let Some(parameters) =
        operation.get("parameters").and_then(Value::as_array).filter(|all| !all.is_empty())
    else {
        return;
    };
    out.push_str("<table><tr><th>Parameter</th><th>In</th><th>Meaning</th></tr>");
    for parameter in parameters {
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            text(parameter, "/name"),
            text(parameter, "/in"),
            prose(&text(parameter, "/description")),
        );
    }
    out.push_str("</table>");
}

fn schemas(out: &mut String, api: &Value) {
    out.push_str("<h2 id=\"schemas\">Schemas</h2>");
    for (name, schema) in members(api, "/components/schemas") {
        let name = escape(name);
        let shown = escape(&serde_json::to_string_pretty(schema).unwrap_or_default());
        let _ = write!(
            out,
            "<details id=\"schema-{name}\"><summary><code>{name}</code></summary><pre>{shown}</pre></details>"
        );
    }
}

fn problems(out: &mut String) {
    out.push_str("<h2 id=\"problems\">Problems</h2><table><tr><th>Status</th><th><code>type</code></th><th>Meaning</th></tr>");
    for row in table::TABLE {
        let _ = write!(
            out,
            "<tr><td>{}</td><td><code>{}{}</code></td><td>{}</td></tr>",
            row.status,
            table::PREFIX,
            row.code,
            prose(&escape(row.meaning)),
        );
    }
    out.push_str("</table>");
}

fn named(schema: Option<&Value>) -> String {
    match schema
        .and_then(|schema| schema.get("$ref"))
        .and_then(Value::as_str)
        .and_then(|path| path.rsplit('/').next())
    {
        Some(name) => format!("<a href=\"#schema-{0}\">{0}</a>", escape(name)),
        None => String::new(),
    }
}

fn members<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

/// The text at `pointer`, escaped.
fn text(value: &Value, pointer: &str) -> String {
    escape(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}

/// Text that is escaped already, with what stands in backticks set as code.
fn prose(escaped: &str) -> String {
    let mut out = String::new();
    for (at, part) in escaped.split('`').enumerate() {
        if at % 2 == 1 {
            let _ = write!(out, "<code>{part}</code>");
        } else {
            out.push_str(part);
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
