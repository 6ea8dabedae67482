//! serde's words for what it expected, in those of a person who writes TOML.

use crate::tree::{Node, Value};

/// `found the string "80"` and so on; long values are cut.
pub(crate) fn found(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => format!("{:?}", short(text)),
        Value::String(text) => format!("the string {:?}", short(text)),
        Value::Integer(number) => format!("the integer {number}"),
        Value::Float(number) => format!("the number {number}"),
        Value::Boolean(yes) => format!("{yes}"),
        Value::Datetime(at) => format!("the date {at}"),
        Value::Array(_) => "an array".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

fn short(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(60).chain(['…']).collect() }
}

/// What serde expected, said so that one can write it.
pub(crate) fn expected(words: &str) -> String {
    match words {
        "a string" | "string" | "a borrowed string" => "a string in quotes".to_owned(),
        "path string" => "a path in quotes".to_owned(),
        "a boolean" | "bool" => "true or false".to_owned(),
        "u8" => "an integer from 0 to 255".to_owned(),
        "u16" => "an integer from 0 to 65535".to_owned(),
        "u32" | "u64" | "u128" | "usize" => "an integer, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "an integer".to_owned(),
        words if words.starts_with("a nonzero") => "an integer, 1 or more".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a sequence" => "an array in [ ]".to_owned(),
        "a map" => "a table".to_owned(),
        words if words.starts_with("struct ") => "a table".to_owned(),
        words if words.starts_with("enum ") || words.contains("variant") => {
            "one of its known words in quotes".to_owned()
        }
        "IP address" => "an IP address such as \"127.0.0.1\"".to_owned(),
        "socket address" => "an address and a port such as \"127.0.0.1:7070\"".to_owned(),
        other => other.to_owned(),
    }
}
