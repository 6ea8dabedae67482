//! Reads a tree section by section, so that a mistake in one hides none in another.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use crate::deserialize::{Met, NodeReader, below};
use crate::problem::{Problem, hint};
use crate::tree::{Entry, Node, Origin, Tree, Value};

/// Collects what is read and what is wrong. Ask for every section first, then [`finish`](Self::finish).
pub struct Reader<'a> {
    tree: &'a Tree,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(tree: &'a Tree) -> Self {
        Self { tree, known: Vec::new(), problems: tree.problems.clone() }
    }

    /// The table `[name]`; as if empty where it is absent. `None` = wrong, and told by `finish`.
    pub fn section<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        let empty = Node { value: Value::Table(Vec::new()), at: Origin::Nowhere };
        let tree = self.tree;
        let node = self.find(name).map_or(&empty, |entry| &entry.node);
        self.read(tree, node, name)
    }

    /// Every `[[name]]`; wrong ones are left out and told by `finish`.
    pub fn array<T: DeserializeOwned>(&mut self, name: &'static str) -> Vec<T> {
        let tree = self.tree;
        match self.find(name).map(|entry| &entry.node) {
            None => Vec::new(),
            Some(Node { value: Value::Array(items), .. }) => items
                .iter()
                .enumerate()
                .filter_map(|(index, node)| self.read(tree, node, &format!("{name}[{index}]")))
                .collect(),
            Some(node) => {
                let message = format!("expected [[{name}]], found {}", crate::expected::found(node));
                self.tell(node.at.clone(), name, message);
                Vec::new()
            }
        }
    }

    /// Every `[name.KEY]` with its key; wrong ones are left out and told by `finish`.
    pub fn entries<T: DeserializeOwned>(&mut self, name: &'static str) -> Vec<(String, T)> {
        let tree = self.tree;
        match self.find(name).map(|entry| &entry.node) {
            None => Vec::new(),
            Some(Node { value: Value::Table(entries), .. }) => entries
                .iter()
                .filter_map(|Entry { key, node, .. }| {
                    Some((key.clone(), self.read(tree, node, &below(name, key))?))
                })
                .collect(),
            Some(node) => {
                let message = format!("expected [{name}.NAME], found {}", crate::expected::found(node));
                self.tell(node.at.clone(), name, message);
                Vec::new()
            }
        }
    }

    /// Tells a mistake that only the meaning shows, at the line of `path` (as in `cloud[0].driver`) or the nearest
    /// table above it that is in the file.
    pub fn refuse(&mut self, path: &str, message: impl Into<String>) {
        let at = origin_of(&self.tree.root, path);
        self.tell(at, path, message.into());
    }

    /// Whether anything was wrong so far.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Also tells sections that nobody asked for.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the file.
    pub fn finish(mut self) -> Result<(), Vec<Problem>> {
        if let Value::Table(entries) = &self.tree.root.value {
            for entry in entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str())) {
                let message = format!("unknown section{}", hint(&entry.key, &self.known));
                self.problems.push(Problem {
                    file: self.tree.file.clone(),
                    at: entry.at.clone(),
                    path: entry.key.clone(),
                    message,
                });
            }
        }
        self.problems.sort_by(|a, b| a.order().cmp(&b.order()));
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }

    fn find(&mut self, name: &'static str) -> Option<&'a Entry> {
        self.known.push(name);
        match &self.tree.root.value {
            Value::Table(entries) => entries.iter().find(|entry| entry.key == name),
            _ => None,
        }
    }

    fn tell(&mut self, at: Origin, path: &str, message: String) {
        self.problems.push(Problem { file: self.tree.file.clone(), at, path: path.to_owned(), message });
    }

    /// Reads again past each wrong key until nothing new is found: serde stops at its first mistake, a person wants
    /// them all.
    fn read<T: DeserializeOwned>(&mut self, tree: &Tree, node: &Node, path: &str) -> Option<T> {
        let met = Met {
            file: tree.file.clone(),
            problems: RefCell::new(Vec::new()),
            passed_over: RefCell::new(BTreeSet::new()),
        };
        let mut value = None;
        loop {
            match T::deserialize(NodeReader { node, path, met: &met })
                .map_err(|fault| fault.place(path, node))
            {
                Ok(read) => value = Some(read),
                Err(fault) => {
                    let (at_path, at) = fault.place.clone().unwrap_or((path.to_owned(), Origin::Nowhere));
                    let is_echo = fault.missing().is_some_and(|key| met.passes_over(&below(&at_path, key)));
                    if !is_echo {
                        let message = fault.to_string();
                        met.problems.borrow_mut().push(Problem {
                            file: tree.file.clone(),
                            at,
                            path: at_path.clone(),
                            message,
                        });
                    }
                    if at_path != path && met.passed_over.borrow_mut().insert(at_path) {
                        continue;
                    }
                }
            }
            break;
        }
        let problems = met.problems.into_inner();
        let is_right = problems.is_empty();
        self.problems.extend(problems);
        value.filter(|_| is_right)
    }
}

/// Follows `a.b[1].c` as far as it goes.
fn origin_of(root: &Node, path: &str) -> Origin {
    let (mut node, mut at) = (root, Origin::Nowhere);
    for part in path.split(['.', '[']) {
        let next = match (&node.value, part.strip_suffix(']').and_then(|index| index.parse::<usize>().ok())) {
            (Value::Array(items), Some(index)) => items.get(index).map(|item| (item, &item.at)),
            (Value::Table(entries), _) => {
                let key = part.trim_matches('"');
                entries.iter().find(|entry| entry.key == key).map(|entry| (&entry.node, &entry.at))
            }
            _ => None,
        };
        let Some((found, its)) = next else { break };
        (node, at) = (found, its.clone());
    }
    at
}
