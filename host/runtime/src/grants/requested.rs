//! The origins that a manifest's host request means for one configuration.

use archipel_egress::{Origin, OriginPattern};
use serde_json::Value;

use crate::manifest::HostRequest;

/// A literal origin, or the URL (or list of URLs) at a pointer of the configuration. What is no origin is left out:
/// it cannot be granted either.
pub(super) fn resolve(request: &HostRequest, config: &Value) -> Vec<OriginPattern> {
    let of_url = |url: &str| Origin::of_url(url).ok().map(|(origin, _)| OriginPattern::Exact(origin));
    match (&request.origin, &request.config) {
        (Some(origin), None) => origin.parse().into_iter().collect(),
        (None, Some(pointer)) => match config.pointer(pointer) {
            Some(Value::String(url)) => of_url(url).into_iter().collect(),
            Some(Value::Array(urls)) => urls.iter().filter_map(Value::as_str).filter_map(of_url).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
