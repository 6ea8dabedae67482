//! Lists come in pages: each service says in its own way that there is more, and all of them go on behind a marker, the
//! last id of the page before.

use crate::cloud::Cloud;
use crate::wire::Service;
use archipel_sdk::{Applied, Error, Result};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Pages of one list. With the default size that is half a million entries.
const MOST_PAGES: usize = 1000;

/// One page.
pub(crate) struct Slice<T> {
    pub(crate) items: Vec<T>,
    /// Behind which id the next one starts.
    pub(crate) next: Option<String>,
}

impl Cloud<'_> {
    /// One page of the list `key` at `path`.
    pub(crate) fn page<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &str,
        key: &str,
        query: &[(&str, &str)],
        marker: Option<&str>,
    ) -> Result<Slice<T>> {
        let size = self.config.page_size.to_string();
        let mut query = query.to_vec();
        query.push(("limit", &size));
        if let Some(marker) = marker {
            query.push(("marker", marker));
        }
        let mut body: Map<String, Value> = self.get(service, path, &query)?;
        let strange = |error: String| {
            Error::transient(format!("{}: the list of {key}: {error}", service.name()))
                .applied(Applied::Unknown)
        };
        let entries = match body.remove(key) {
            Some(Value::Array(entries)) => entries,
            _ => return Err(strange("is missing".to_owned())),
        };
        let last =
            entries.last().and_then(|entry| entry.get("id")).and_then(Value::as_str).map(str::to_owned);
        let items = entries
            .into_iter()
            .map(|entry| serde_json::from_value(entry).map_err(|error| strange(error.to_string())))
            .collect::<Result<_>>()?;
        Ok(Slice { items, next: last.filter(|_| has_next(&body, key)) })
    }

    /// The whole list.
    pub(crate) fn all<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &str,
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let mut marker: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let page = self.page(service, path, key, query, marker.as_deref())?;
            all.extend(page.items);
            match page.next {
                Some(next) => marker = Some(next),
                None => return Ok(all),
            }
        }
        Err(Error::transient(format!("{}: the list of {key} has no end", service.name())))
    }
}

/// Nova, Cinder and Neutron: `"servers_links": [{"rel": "next", ...}]`; Glance: `"next": "/v2/images?marker=..."`.
fn has_next(body: &Map<String, Value>, key: &str) -> bool {
    let links = body.get(&format!("{key}_links")).and_then(Value::as_array);
    let linked = links.is_some_and(|links| {
        links.iter().any(|link| link.get("rel").and_then(Value::as_str) == Some("next"))
    });
    linked || body.get("next").is_some_and(Value::is_string)
}
