//! Which events a publisher sends. A reset passes every filter: it says that something is missing.

use crate::cloud_event::{CloudEvent, RESET};

/// Types and clouds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    types: Vec<String>,
    clouds: Vec<String>,
}

impl Filter {
    pub(crate) fn new(types: &[String], clouds: &[String]) -> Self {
        Self { types: types.to_vec(), clouds: clouds.to_vec() }
    }

    /// Whether each type is a name, or a beginning with a `*`.
    pub(crate) fn check(types: &[String]) -> Result<(), String> {
        match types
            .iter()
            .find(|text| text.is_empty() || text.strip_suffix('*').unwrap_or(text).contains('*'))
        {
            Some(wrong) => {
                Err(format!("{wrong:?}: a * stands only at the end, as in \"org.archipel.order.*\""))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn passes(&self, event: &CloudEvent) -> bool {
        event.kind == RESET || (self.passes_type(&event.kind) && self.passes_cloud(event.of_data("cloud")))
    }

    fn passes_type(&self, kind: &str) -> bool {
        self.types.is_empty()
            || self.types.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(beginning) => kind.starts_with(beginning),
                None => kind == wanted,
            })
    }

    fn passes_cloud(&self, cloud: Option<&str>) -> bool {
        self.clouds.is_empty() || cloud.is_some_and(|cloud| self.clouds.iter().any(|wanted| wanted == cloud))
    }
}

#[cfg(test)]
mod tests {
    use archipel_model::{OrderId, Timestamp};

    use super::*;
    use crate::cloud_event::tests::{logged, writer};

    #[test]
    fn types_and_clouds_must_both_pass_and_a_reset_always_does() {
        let of = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let open = writer().event(&logged(1, OrderId::generate(), "open"));
        for (types, clouds, passes) in [
            (&[][..], &[][..], true),
            (&["org.archipel.order.open.v1"][..], &["east"][..], true),
            (&["org.archipel.order.*"][..], &["west", "east"][..], true),
            (&["org.archipel.order.open"][..], &[][..], false),
            (&["org.archipel.order.closed.v1"][..], &["east"][..], false),
            (&["*"][..], &["west"][..], false),
        ] {
            assert_eq!(Filter::new(&of(types), &of(clouds)).passes(&open), passes, "{types:?} {clouds:?}");
        }
        let reset = writer().reset(1, Timestamp::from_millis(0));
        assert!(Filter::new(&of(&["x"]), &of(&["west"])).passes(&reset));
    }
}
