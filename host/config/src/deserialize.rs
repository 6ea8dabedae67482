//! serde over the tree: remembers the place of a mistake, reports unknown keys and goes on without them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    self, DeserializeSeed, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::expected::{expected, found};
use crate::problem::{Problem, hint};
use crate::tree::{Entry, Node, Origin, Value, typed};

/// What one reading of a section has met so far.
pub(crate) struct Met {
    pub(crate) file: String,
    pub(crate) problems: RefCell<Vec<Problem>>,
    /// Paths that are passed over: they are unknown or were found wrong by an earlier reading.
    pub(crate) passed_over: RefCell<BTreeSet<String>>,
}

impl Met {
    pub(crate) fn passes_over(&self, path: &str) -> bool {
        self.passed_over.borrow().contains(path)
    }

    fn unknown_key(&self, entry: &Entry, path: &str, known: &[&str]) {
        if self.passed_over.borrow_mut().insert(path.to_owned()) {
            self.problems.borrow_mut().push(Problem {
                file: self.file.clone(),
                at: entry.at.clone(),
                path: path.to_owned(),
                message: format!("unknown key{}", hint(&entry.key, known)),
            });
        }
    }
}

/// Why a value was refused; placed by the first container that it passes on its way up.
#[derive(Debug)]
pub(crate) struct Fault {
    what: What,
    pub(crate) place: Option<(String, Origin)>,
}

#[derive(Debug)]
enum What {
    Expected(String),
    Missing(&'static str),
    Said(String),
}

impl Fault {
    /// The key that is missing, if that is what is wrong.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        match self.what {
            What::Missing(key) => Some(key),
            _ => None,
        }
    }

    pub(crate) fn place(mut self, path: &str, node: &Node) -> Self {
        if self.place.is_none() {
            self.place = Some((path.to_owned(), node.at.clone()));
            if let What::Expected(words) = &self.what {
                self.what = What::Said(format!("expected {}, found {}", expected(words), found(node)));
            }
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Expected(words) => write!(f, "expected {}", expected(words)),
            What::Missing(key) => write!(f, "the key {key:?} is missing"),
            What::Said(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { what: What::Said(message.to_string()), place: None }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self { what: What::Expected(expected.to_string()), place: None }
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self { what: What::Expected(expected.to_string()), place: None }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { what: What::Missing(field), place: None }
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format!("unknown key {field:?}{}", hint(field, known)))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format!("{variant:?} is not known here; write one of {}", known.join(", ")))
    }
}

/// Reads one node.
pub(crate) struct NodeReader<'a> {
    pub(crate) node: &'a Node,
    pub(crate) path: &'a str,
    pub(crate) met: &'a Met,
}

impl NodeReader<'_> {
    /// As TOML types it: text from the environment is parsed.
    fn typed<'de, V: Visitor<'de>>(
        self,
        known: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let (path, met) = (self.path, self.met);
        match &self.node.value {
            Value::Text(text) => {
                NodeReader { node: &typed(text, &self.node.at), path, met }.typed(known, visitor)
            }
            Value::String(text) | Value::Datetime(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(yes) => visitor.visit_bool(*yes),
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter().enumerate(), path, met }),
            Value::Table(entries) => {
                if let Some(known) = known {
                    for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
                        met.unknown_key(entry, &below(path, &entry.key), known);
                    }
                }
                visitor.visit_map(Entries { entries: entries.iter(), present: None, path, met })
            }
        }
    }
}

/// `a.b`, with quotes where the key needs them.
pub(crate) fn below(path: &str, key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let key = if is_bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

impl<'de> de::Deserializer<'de> for NodeReader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.typed(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.typed(Some(fields), visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_str(text),
            _ => self.typed(None, visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) | Value::String(text) => {
                let variant: de::value::StrDeserializer<'_, Fault> = text.as_str().into_deserializer();
                visitor.visit_enum(variant)
            }
            Value::Table(entries) if entries.len() == 1 => {
                let entries =
                    Entries { entries: entries.iter(), present: None, path: self.path, met: self.met };
                visitor.visit_enum(OneEntry(MapAccessDeserializer::new(entries)))
            }
            _ => Err(Fault { what: What::Expected("enum ".to_owned()), place: None }),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

struct OneEntry<'a>(MapAccessDeserializer<Entries<'a>>);

impl<'de, 'a> EnumAccess<'de> for OneEntry<'a> {
    type Error = Fault;
    type Variant = <MapAccessDeserializer<Entries<'a>> as EnumAccess<'de>>::Variant;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Fault> {
        self.0.variant_seed(seed)
    }
}

struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    path: &'a str,
    met: &'a Met,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        for (index, node) in self.items.by_ref() {
            let path = format!("{}[{index}]", self.path);
            if !self.met.passes_over(&path) {
                let reader = NodeReader { node, path: &path, met: self.met };
                return seed.deserialize(reader).map(Some).map_err(|fault| fault.place(&path, node));
            }
        }
        Ok(None)
    }
}

struct Entries<'a> {
    entries: std::slice::Iter<'a, Entry>,
    present: Option<(&'a Entry, String)>,
    path: &'a str,
    met: &'a Met,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        for entry in self.entries.by_ref() {
            let path = below(self.path, &entry.key);
            if self.met.passes_over(&path) {
                continue;
            }
            self.present = Some((entry, path.clone()));
            let key: de::value::StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
            return seed.deserialize(key).map(Some).map_err(|fault| fault.place(&path, &entry.node));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((entry, path)) = self.present.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let reader = NodeReader { node: &entry.node, path: &path, met: self.met };
        seed.deserialize(reader).map_err(|fault| fault.place(&path, &entry.node))
    }
}
