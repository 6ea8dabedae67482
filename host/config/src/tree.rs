//! The file as a tree in which every key and value knows where it came from.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike, Value as Toml};

use crate::Problem;
use crate::reader::Reader;

/// Where a key or value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of the file, from 1.
    Line(usize),
    /// An environment variable.
    Environment(String),
    /// The file as a whole.
    Nowhere,
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Origin,
}

/// A value of TOML, or text from the environment whose type only its reader knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

/// One key of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Origin,
    pub(crate) node: Node,
}

/// A configuration file, read but not yet understood.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(crate) file: String,
    pub(crate) root: Node,
    pub(crate) problems: Vec<Problem>,
}

impl Tree {
    /// Reads TOML. `file` is what problems call it.
    ///
    /// # Errors
    /// The one [`Problem`] that keeps the text from being TOML.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        let lines = Lines(text);
        let document = Document::parse(text.to_owned()).map_err(|error| Problem {
            file: file.to_owned(),
            at: lines.of(error.span()),
            path: String::new(),
            message: format!("not TOML: {}", one_line(error.message())),
        })?;
        let root = Node { value: table(document.as_table(), &lines), at: Origin::Nowhere };
        Ok(Self { file: file.to_owned(), root, problems: Vec::new() })
    }

    /// Begins to read it into types.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(self)
    }
}

/// A value from the environment, typed as TOML would type it.
pub(crate) fn typed(text: &str, at: &Origin) -> Node {
    let value = match text.parse::<Toml>() {
        Ok(toml) => value(&toml, &Lines("")).place(at),
        Err(_) => Value::String(text.to_owned()),
    };
    Node { value, at: at.clone() }
}

struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn of(&self, span: Option<Range<usize>>) -> Origin {
        match span.and_then(|span| self.0.get(..span.start.min(self.0.len()))) {
            Some(before) => Origin::Line(before.matches('\n').count() + 1),
            None => Origin::Nowhere,
        }
    }
}

impl Value {
    /// The same value with everything in it placed at `at`.
    fn place(self, at: &Origin) -> Self {
        let placed = |node: Node| Node { value: node.value.place(at), at: at.clone() };
        match self {
            Self::Array(items) => Self::Array(items.into_iter().map(placed).collect()),
            Self::Table(entries) => Self::Table(
                entries
                    .into_iter()
                    .map(|entry| Entry { key: entry.key, at: at.clone(), node: placed(entry.node) })
                    .collect(),
            ),
            other => other,
        }
    }
}

fn item(item: &Item, lines: &Lines<'_>) -> Option<Node> {
    let at = lines.of(item.span());
    let value = match item {
        Item::None => return None,
        Item::Value(toml) => value(toml, lines),
        Item::Table(toml) => table(toml, lines),
        Item::ArrayOfTables(tables) => Value::Array(
            tables.iter().map(|toml| Node { value: table(toml, lines), at: lines.of(toml.span()) }).collect(),
        ),
    };
    Some(Node { value, at })
}

fn table(toml: &dyn TableLike, lines: &Lines<'_>) -> Value {
    let entries = toml.iter().filter_map(|(key, of)| {
        let node = item(of, lines)?;
        let at = match lines.of(toml.key(key).and_then(|key| key.span())) {
            Origin::Nowhere => node.at.clone(),
            at => at,
        };
        Some(Entry { key: key.to_owned(), at, node })
    });
    Value::Table(entries.collect())
}

fn value(toml: &Toml, lines: &Lines<'_>) -> Value {
    match toml {
        Toml::String(text) => Value::String(text.value().clone()),
        Toml::Integer(number) => Value::Integer(*number.value()),
        Toml::Float(number) => Value::Float(*number.value()),
        Toml::Boolean(yes) => Value::Boolean(*yes.value()),
        Toml::Datetime(at) => Value::Datetime(at.value().to_string()),
        Toml::Array(items) => Value::Array(
            items.iter().map(|toml| Node { value: value(toml, lines), at: lines.of(toml.span()) }).collect(),
        ),
        Toml::InlineTable(toml) => table(toml, lines),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_toml_is_told_with_its_line() {
        let problem = Tree::parse("site.toml", "[site]\nid = \"a\"\nlisten = 127.0.0.1\n").unwrap_err();
        assert_eq!(problem.line(), Some(3));
        assert!(problem.to_string().starts_with("site.toml:3: not TOML: "), "{problem}");
    }

    #[test]
    fn every_key_knows_its_line() {
        let tree = Tree::parse("f", "[a]\nb = 1\n\n[[c]]\nd = { e = 2 }\n[[c]]\n").unwrap();
        let Value::Table(root) = &tree.root.value else { panic!() };
        assert_eq!(root[0].at, Origin::Line(1));
        let Value::Array(c) = &root[1].node.value else { panic!() };
        assert_eq!((&c[0].at, &c[1].at), (&Origin::Line(4), &Origin::Line(6)));
    }
}
