//! Topics and keys with fields filled in.
//!
//! Only fields that never change during an order's life: with the state or the type in it, two events of one order
//! would go two ways, and nobody could tell which came first.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, de};

use crate::cloud_event::CloudEvent;

/// Text and fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Site,
    Cloud,
    Kind,
    Subject,
}

impl Field {
    const ALL: [(&'static str, Self); 4] =
        [("site", Self::Site), ("cloud", Self::Cloud), ("kind", Self::Kind), ("subject", Self::Subject)];
}

/// Bytes of a topic's name (Kafka).
const MOST_TOPIC: usize = 249;

impl Template {
    /// `{subject}`.
    pub(crate) fn subject() -> Self {
        Self(vec![Part::Field(Field::Subject)])
    }

    /// Reads one.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| format!("{text:?}: a {{ has no }}"))?;
            let known = Field::ALL.iter().find(|(known, _)| *known == name);
            let (_, field) = known.ok_or_else(|| {
                format!("{text:?}: {{{name}}} is none of {{site}}, {{cloud}}, {{kind}} and {{subject}}")
            })?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Field(*field));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self(parts))
    }

    /// Whether it makes names of topics.
    pub(crate) fn check_topic(&self) -> Result<(), String> {
        for part in &self.0 {
            match part {
                Part::Field(Field::Subject) => {
                    return Err(
                        "a topic for each order would be too many; use {subject} in the key".to_owned()
                    );
                }
                Part::Field(_) => {}
                Part::Text(text) => {
                    if let Some(wrong) = text.chars().find(|letter| !is_topic_letter(*letter)) {
                        return Err(format!("a topic has letters, digits, ., _ and -, not {wrong:?}"));
                    }
                }
            }
        }
        if self.0.is_empty() { Err("name a topic".to_owned()) } else { Ok(()) }
    }

    /// Filled in.
    pub(crate) fn fill(&self, event: &CloudEvent) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(Field::Site) => out.push_str(&event.source),
                Part::Field(Field::Cloud) => out.push_str(event.of_data("cloud").unwrap_or("none")),
                Part::Field(Field::Kind) => out.push_str(event.of_data("kind").unwrap_or("none")),
                Part::Field(Field::Subject) => {
                    let _ = event.subject.map(|subject| write!(out, "{subject}"));
                }
            }
        }
        out
    }

    /// Filled in as a topic: other letters become `_`.
    pub(crate) fn fill_topic(&self, event: &CloudEvent) -> String {
        self.fill(event)
            .chars()
            .map(|letter| if is_topic_letter(letter) { letter } else { '_' })
            .take(MOST_TOPIC)
            .collect()
    }
}

fn is_topic_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-')
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use archipel_model::OrderId;

    use super::*;
    use crate::cloud_event::tests::{logged, writer};

    #[test]
    fn fields_are_filled_in() {
        let subject = OrderId::generate();
        let event = writer().event(&logged(1, subject, "open"));
        let fill = |text: &str| Template::parse(text).unwrap().fill(&event);
        assert_eq!(fill("plain"), "plain");
        assert_eq!(fill("{site}/{cloud}.{kind}"), "site-a.example.org/east.compute");
        assert_eq!(fill("{subject}"), subject.to_string());
        assert_eq!(Template::parse("{subject}").unwrap(), Template::subject());
        assert_eq!(Template::parse("a/{cloud}").unwrap().fill_topic(&event), "a_east");
    }

    #[test]
    fn what_would_lose_the_order_or_flood_the_broker_is_refused() {
        assert!(Template::parse("{type}").is_err());
        assert!(Template::parse("{cloud").is_err());
        assert!(Template::parse("{subject}").unwrap().check_topic().is_err());
        assert!(Template::parse("").unwrap().check_topic().is_err());
        assert!(Template::parse("ä").unwrap().check_topic().is_err());
        assert!(Template::parse("archipel.{cloud}").unwrap().check_topic().is_ok());
    }
}
