//! How an instance says whose it is. The whole tag, `archipel:SITE:ORDER`, decides; a short form of it narrows searches.
//!
//! | kind | the whole tag is in | searched by |
//! |---|---|---|
//! | compute | metadata `archipel` | server tag `archipel:ORDER` (a server tag has at most 60 characters, no `/` and no `,`) |
//! | volume | metadata `archipel` | that metadata |
//! | network, its subnet | `description` | `description` |
//! | attachment | the volume's metadata, `archipel-attachment-SERVER` | the volume |
//!
//! Names are left to people: whoever renames a machine in the dashboard does not take it from its order.

use crate::config::Config;
use archipel_sdk::cloud::OrderRef;
use archipel_sdk::{Error, Result};

/// The metadata key of the whole tag, and a server tag that all of ours carry.
pub(crate) const KEY: &str = "archipel";

/// What every whole tag begins with.
const PREFIX: &str = "archipel:";

/// Longest metadata value and description that the services take.
const LONGEST: usize = 255;

/// The order's whole tag.
///
/// # Errors
/// `unsupported` where it would not fit: a tag that is cut off finds nothing.
pub(crate) fn whole(order: &OrderRef) -> Result<&str> {
    if order.tag.len() > LONGEST {
        let message =
            format!("the tag {:?} is longer than {LONGEST}; OpenStack needs a shorter site id", order.tag);
        return Err(Error::unsupported(message));
    }
    Ok(&order.tag)
}

/// The order's short tag.
pub(crate) fn short(order: &str) -> String {
    format!("{PREFIX}{order}")
}

/// Whether the whole tag is one of ours.
pub(crate) fn is_ours(tag: &str, config: &Config) -> bool {
    match tag.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once(':')) {
        Some((site, order)) => !order.is_empty() && config.site.as_deref().is_none_or(|ours| ours == site),
        None => false,
    }
}

/// What the cloud shows to people: the order's name where it has one.
pub(crate) fn name(name: Option<&str>, order: &OrderRef) -> String {
    let clean: String = name.unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    match clean.trim() {
        "" => format!("archipel-{}", order.id),
        name => name.chars().take(LONGEST).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(site: Option<&str>) -> Config {
        Config { site: site.map(str::to_owned), ..Config::default() }
    }

    #[test]
    fn a_tag_is_ours_by_its_form_and_where_configured_by_its_site() {
        let tag = "archipel:site-a.example.org:0190";
        assert!(is_ours(tag, &config(None)));
        assert!(is_ours(tag, &config(Some("site-a.example.org"))));
        assert!(!is_ours(tag, &config(Some("site-b.example.org"))));
        for other in ["", "archipel", "archipel:", "archipel:x", "other:site:0190"] {
            assert!(!is_ours(other, &config(None)), "{other}");
        }
    }

    #[test]
    fn a_short_tag_fits_into_a_server_tag() {
        let short = short("01900000-0000-7000-8000-000000000000");
        assert!(short.len() <= 60 && !short.contains(['/', ',']));
    }

    #[test]
    fn a_name_is_the_orders_or_made_from_its_id() {
        let order = crate::testing::order("volume", "{}");
        assert_eq!(name(Some(" data\n "), &order), "data");
        assert_eq!(name(Some("  "), &order), format!("archipel-{}", order.id));
        assert_eq!(name(None, &order), format!("archipel-{}", order.id));
    }
}
