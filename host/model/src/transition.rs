//! Tables of transitions: how the states of a thing may follow each other, and why. One table is the whole truth of one
//! kind of thing (orders today): what is written asks [`Table::find`] first, and the page that people read is made of the same rows.

use std::fmt::{Debug, Display, Write as _};

use crate::Error;

/// Some rows of a table: from any of `from` (empty: from nothing) to `to`.
#[derive(Clone, Copy, Debug)]
pub struct Transition<S: 'static, W> {
    /// Where it may stand before.
    pub from: &'static [S],
    /// Where it stands after.
    pub to: S,
    /// What brings it about.
    pub why: W,
    /// The same for a reader.
    pub when: &'static str,
}

/// All transitions of one kind of thing, from states `S` by causes `W`.
#[derive(Clone, Copy, Debug)]
pub struct Table<S: 'static, W: 'static> {
    /// The rows.
    pub rows: &'static [Transition<S, W>],
    /// Sets of states that the page calls by a phrase instead of listing them.
    pub phrases: &'static [(&'static [S], &'static str)],
}

impl<S: Copy + PartialEq + Display, W: Copy + PartialEq + Debug> Table<S, W> {
    /// The row for this transition; `from` is `None` for what does not exist yet.
    ///
    /// # Errors
    /// `internal`: there is none, so it must not be written.
    pub fn find(&self, from: Option<S>, to: S, why: W) -> Result<&'static Transition<S, W>, Error> {
        self.rows
            .iter()
            .find(|row| {
                row.to == to
                    && row.why == why
                    && from.map_or(row.from.is_empty(), |from| row.from.contains(&from))
            })
            .ok_or_else(|| {
                let from = from.map_or_else(|| "nothing".to_owned(), |from| from.to_string());
                Error::internal(format!(
                    "no transition from {from} to {to} by {why:?} is in the table; report this defect"
                ))
            })
    }

    /// The rows as a table of Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| from | to | why | when |\n|---|---|---|---|\n");
        for row in self.rows {
            let phrase = self.phrases.iter().find(|(states, _)| *states == row.from);
            let from = match (row.from, phrase) {
                ([], _) => "–".to_owned(),
                (_, Some((_, phrase))) => (*phrase).to_owned(),
                (from, None) => from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            };
            let _ = writeln!(text, "| {from} | {} | {} | {} |", row.to, word(row.why), row.when);
        }
        text
    }

    /// What is wrong with the table itself, where `all` are its states and `ends` those that nothing leaves: states that
    /// are never reached, never left, or left although they are ends, and transitions that two rows have.
    pub fn defects(&self, all: &[S], ends: &[S]) -> Vec<String> {
        let mut found = Vec::new();
        for state in all {
            if !self.rows.iter().any(|row| row.to == *state) {
                found.push(format!("{state} is never reached"));
            }
            if self.rows.iter().any(|row| row.from.contains(state)) == ends.contains(state) {
                found.push(format!("{state} is left although it is an end, or is none and never left"));
            }
        }
        for (at, row) in self.rows.iter().enumerate() {
            for other in
                self.rows.iter().skip(at + 1).filter(|other| row.to == other.to && row.why == other.why)
            {
                if row.from.is_empty() && other.from.is_empty()
                    || row.from.iter().any(|from| other.from.contains(from))
                {
                    found.push(format!("two rows lead to {} by {:?}", row.to, row.why));
                }
            }
        }
        found
    }
}

/// `DeadlinePassed` as `deadline-passed`.
fn word(why: impl Debug) -> String {
    let mut text = String::new();
    for letter in format!("{why:?}").chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Why {
        Built,
        BurntDown,
    }

    const fn row(from: &'static [&'static str], to: &'static str, why: Why) -> Transition<&'static str, Why> {
        Transition { from, to, why, when: "once" }
    }

    const HOUSES: Table<&str, Why> = Table {
        rows: &[row(&[], "house", Why::Built), row(&["house", "hut"], "ashes", Why::BurntDown)],
        phrases: &[(&["house", "hut"], "any")],
    };

    #[test]
    fn a_transition_is_found_with_all_three_of_its_parts_or_not_at_all() {
        assert!(HOUSES.find(None, "house", Why::Built).is_ok());
        assert!(HOUSES.find(Some("hut"), "ashes", Why::BurntDown).is_ok());
        assert!(HOUSES.find(None, "ashes", Why::BurntDown).is_err());
        let refused = HOUSES.find(Some("ashes"), "house", Why::Built).unwrap_err();
        assert_eq!(
            refused.message,
            "no transition from ashes to house by Built is in the table; report this defect"
        );
    }

    #[test]
    fn a_page_has_a_line_for_each_row() {
        assert_eq!(
            HOUSES.markdown(),
            "| from | to | why | when |\n|---|---|---|---|\n| – | house | built | once |\n| any | ashes | burnt-down | once |\n"
        );
    }

    #[test]
    fn what_is_wrong_with_a_table_is_told() {
        assert_eq!(HOUSES.defects(&["house", "ashes"], &["ashes"]), Vec::<String>::new());
        assert_eq!(HOUSES.defects(&["hut"], &[]), ["hut is never reached"]);
        assert_eq!(
            HOUSES.defects(&["house"], &["house"]),
            ["house is left although it is an end, or is none and never left"]
        );
        const TWICE: &[Transition<&str, Why>] =
            &[row(&["a", "b"], "c", Why::Built), row(&["b"], "c", Why::Built)];
        let twice = Table { rows: TWICE, phrases: &[] };
        assert_eq!(twice.defects(&[], &[]), ["two rows lead to c by Built"]);
    }
}
