//! Says what a user may do.

use super::{Context, FederationUser, Resource};
use crate::bindings::authorization::exports::archipel::aaa::authorization as wit;
use crate::error::Result;
use crate::panics::call;
use std::time::Duration;

pub use wit::{Allow, Decision, Deny, Obligation, Reach};

/// Interface `archipel:aaa/authorization`. Needs no network; an error refuses the request.
pub trait Authorization {
    /// Judges one operation (in the context) on one resource.
    ///
    /// ```
    /// use archipel_sdk::prelude::*;
    ///
    /// struct ReadOnly;
    /// impl Authorization for ReadOnly {
    ///     fn is_authorized(_: &FederationUser, _: &Resource, context: &Context) -> Result<Decision> {
    ///         Ok(match context.operation.as_str() {
    ///             "login" | "read" | "list" => Decision::allow(Reach::Any),
    ///             other => Decision::deny(format!("{other} is closed during the move; ask again on Monday")),
    ///         })
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Only when the plugin itself cannot judge: a refusal is a [`Decision`].
    fn is_authorized(user: &FederationUser, resource: &Resource, context: &Context) -> Result<Decision>;

    /// The same for many, in order. Worth writing only where it can be faster than one by one.
    ///
    /// # Errors
    /// As `is_authorized`; one error refuses all.
    fn are_authorized(
        user: &FederationUser,
        resources: &[Resource],
        context: &Context,
    ) -> Result<Vec<Decision>> {
        resources.iter().map(|resource| Self::is_authorized(user, resource, context)).collect()
    }
}

impl Decision {
    /// Yes, as far as `reach`. The host asks again every time; see [`Decision::valid_for`].
    #[must_use]
    pub fn allow(reach: Reach) -> Self {
        Self::Allow(Allow { reach, obligations: Vec::new(), valid_for_ms: None })
    }

    /// No. The reason goes to the caller: lower-case, says what to do.
    #[must_use]
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::Deny(Deny { reason: reason.into(), obligations: Vec::new() })
    }

    /// Lets the host reuse a yes for the same question; a no is never reused.
    #[must_use]
    pub fn valid_for(mut self, time: Duration) -> Self {
        if let Self::Allow(allow) = &mut self {
            allow.valid_for_ms = Some(u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        }
        self
    }

    /// Adds a condition: `max-lease`, `add-labels`, `redact`, `step-up` or `log`.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let obligation = Obligation { name: name.into(), value: value.into() };
        match &mut self {
            Self::Allow(allow) => allow.obligations.push(obligation),
            Self::Deny(deny) => deny.obligations.push(obligation),
        }
        self
    }
}

impl<T: Authorization> wit::Guest for T {
    fn is_authorized(user: FederationUser, resource: Resource, context: Context) -> Answer<Decision> {
        call(|| T::is_authorized(&user, &resource, &context))
    }

    fn are_authorized(
        user: FederationUser,
        resources: Vec<Resource>,
        context: Context,
    ) -> Answer<Vec<Decision>> {
        call(|| T::are_authorized(&user, &resources, &context))
    }
}

/// What crosses the boundary.
type Answer<T> = std::result::Result<T, wit::Error>;
