//! Keys set from the environment: `PREFIX__SECTION__KEY=VALUE`.
//!
//! | part of the variable | stands for |
//! |---|---|
//! | a word | the key of that name, in lower case; `_` also finds a key with `-` |
//! | a number, below an array | the item at that index, from 0; the index after the last adds one |
//! | another word, below an array | the item whose `name` (or `plugin`) it is |
//!
//! The value is text where text is expected, otherwise TOML (`true`, `16`, `["a", "b"]`). A path that ends in a key that
//! nobody knows is told as any unknown key is, with the variable in place of the line.

use crate::Problem;
use crate::tree::{Entry, Node, Origin, Tree, Value};

impl Tree {
    /// Applies every variable whose name begins with `PREFIX__`, in the order of their names.
    pub fn override_from(&mut self, variables: impl IntoIterator<Item = (String, String)>, prefix: &str) {
        let start = format!("{prefix}__");
        let mut ours: Vec<(String, String)> =
            variables.into_iter().filter(|(name, _)| name.starts_with(&start)).collect();
        ours.sort();
        for (name, text) in ours {
            let path: Vec<String> =
                name.split("__").skip(1).map(str::to_lowercase).filter(|part| !part.is_empty()).collect();
            let at = Origin::Environment(name);
            if let Err(message) = set(&mut self.root, &path, &text, &at) {
                self.problems.push(Problem { file: self.file.clone(), at, path: path.join("."), message });
            }
        }
    }
}

fn set(node: &mut Node, path: &[String], text: &str, at: &Origin) -> Result<(), String> {
    let Some((part, rest)) = path.split_first() else {
        *node = Node { value: Value::Text(text.to_owned()), at: at.clone() };
        return Ok(());
    };
    if let Value::Text(_) = node.value {
        node.value = Value::Table(Vec::new());
    }
    match &mut node.value {
        Value::Table(entries) => set(&mut entry(entries, part, rest, at).node, rest, text, at),
        Value::Array(items) => set(item(items, part, at)?, rest, text, at),
        _ => Err(format!("{part:?} is below a key that holds a single value")),
    }
}

fn entry<'a>(entries: &'a mut Vec<Entry>, part: &str, rest: &[String], at: &Origin) -> &'a mut Entry {
    let is_it = |entry: &Entry| entry.key == part || entry.key.to_lowercase().replace('-', "_") == part;
    let index = entries.iter().position(is_it).unwrap_or_else(|| {
        let is_array = rest.first().is_some_and(|next| next.parse::<usize>().is_ok());
        let value = if is_array { Value::Array(Vec::new()) } else { Value::Table(Vec::new()) };
        let node = Node { value, at: at.clone() };
        entries.push(Entry { key: part.to_owned(), at: at.clone(), node });
        entries.len() - 1
    });
    #[allow(clippy::indexing_slicing, reason = "the index was just found or made")]
    &mut entries[index]
}

fn item<'a>(items: &'a mut Vec<Node>, part: &str, at: &Origin) -> Result<&'a mut Node, String> {
    let index = match part.parse::<usize>() {
        Ok(index) if index == items.len() => {
            items.push(Node { value: Value::Table(Vec::new()), at: at.clone() });
            index
        }
        Ok(index) => index,
        Err(_) => items
            .iter()
            .position(|node| is_named(node, part))
            .ok_or_else(|| format!("no item is named {part:?}; write its index or its name"))?,
    };
    let count = items.len();
    items
        .get_mut(index)
        .ok_or_else(|| format!("there are {count} items, so the next index is {count}, not {index}"))
}

fn is_named(node: &Node, part: &str) -> bool {
    let Value::Table(entries) = &node.value else { return false };
    ["name", "plugin"].iter().filter_map(|key| entries.iter().find(|entry| entry.key == *key)).any(|entry| {
        matches!(&entry.node.value, Value::String(name) | Value::Text(name) if name.to_lowercase().replace('-', "_") == part)
    })
}
