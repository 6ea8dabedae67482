//! How the answers of a chain become one: all must allow, the narrowest reach holds, every obligation holds, and an
//! obligation that the host does not know or cannot read refuses.
//!
//! | obligation | argument | effect |
//! |---|---|---|
//! | `max-lease` | seconds | the shortest of the chain bounds the lease |
//! | `add-labels` | JSON object of strings | put on what is made; two plugins that contradict each other refuse |
//! | `redact` | JSON pointer (RFC 6901) | left out of the answer |
//! | `step-up` | an assurance | refused unless the user's assurance is exactly that |
//! | `log` | text | written to the log with each use |

use std::collections::BTreeMap;
use std::time::Duration;

use archipel_model::plugin::{Decision, Obligation, Reach};
use archipel_model::{Error, FederationUser};

use crate::Granted;

/// What the chain said so far of one resource.
pub(crate) struct Chain<'u> {
    user: &'u FederationUser,
    reach: Reach,
    max_lease_s: Option<u64>,
    add_labels: BTreeMap<String, String>,
    redact: Vec<String>,
    log: Vec<String>,
    reuse: Option<Duration>,
}

/// What the whole chain allowed.
pub(crate) struct Allowed {
    pub(crate) granted: Granted,
    pub(crate) log: Vec<String>,
    /// `None`: ask again next time.
    pub(crate) reuse: Option<Duration>,
}

impl<'u> Chain<'u> {
    /// Before the first plugin. `longest` bounds the reuse.
    pub(crate) fn new(user: &'u FederationUser, longest: Duration) -> Self {
        Self {
            user,
            reach: Reach::Any,
            max_lease_s: None,
            add_labels: BTreeMap::new(),
            redact: Vec::new(),
            log: Vec::new(),
            reuse: Some(longest).filter(|longest| !longest.is_zero()),
        }
    }

    /// Takes one plugin's answer.
    ///
    /// # Errors
    /// `forbidden`, with the plugin's reason or the host's.
    pub(crate) fn take(&mut self, plugin: &str, decision: Decision) -> Result<(), Error> {
        match decision {
            Decision::Allow { reach, obligations, valid_for } => {
                self.reach = self.reach.min(reach);
                self.reuse = self.reuse.zip(valid_for).map(|(ours, theirs)| ours.min(theirs));
                obligations.into_iter().try_for_each(|obligation| self.oblige(plugin, obligation))
            }
            Decision::Deny { reason, obligations } => {
                let mut error = forbidden(reason_of(&reason));
                for obligation in obligations {
                    match obligation.name.as_str() {
                        "log" => tracing::info!(
                            plugin,
                            text = crate::judge::shown(&obligation.value),
                            "policy log"
                        ),
                        "step-up" => error = error.detail("step_up", obligation.value),
                        other => {
                            tracing::warn!(plugin, obligation = other, "unknown obligation on a refusal")
                        }
                    }
                }
                Err(error)
            }
        }
    }

    fn oblige(&mut self, plugin: &str, Obligation { name, value }: Obligation) -> Result<(), Error> {
        let unreadable = |what: &str| {
            tracing::warn!(plugin, obligation = name, what, "an obligation cannot be met: refused");
            forbidden(format!(
                "the policy {plugin:?} asks for something that this site cannot do; tell its administrator"
            ))
        };
        match name.as_str() {
            "max-lease" => {
                let seconds: u64 = value.trim().parse().map_err(|_| unreadable("not a number of seconds"))?;
                self.max_lease_s = Some(self.max_lease_s.map_or(seconds, |known| known.min(seconds)));
            }
            "add-labels" => {
                let labels: BTreeMap<String, String> =
                    serde_json::from_str(&value).map_err(|_| unreadable("not a JSON object of strings"))?;
                for (key, label) in labels {
                    let known = self.add_labels.entry(key).or_insert_with(|| label.clone());
                    if *known != label {
                        return Err(unreadable("two plugins want different values of one label"));
                    }
                }
            }
            "redact" => {
                if !value.is_empty() && !value.starts_with('/') {
                    return Err(unreadable("not a JSON pointer"));
                }
                self.redact.push(value);
            }
            "step-up" => {
                if self.user.assurance != value {
                    return Err(forbidden(format!(
                        "this needs the assurance {value:?}; log in again with it"
                    ))
                    .detail("step_up", value));
                }
            }
            "log" => self.log.push(crate::judge::shown(&value)),
            _ => return Err(unreadable("unknown")),
        }
        Ok(())
    }

    /// After the last plugin.
    pub(crate) fn end(self) -> Allowed {
        let Self { reach, max_lease_s, add_labels, redact, log, reuse, user: _ } = self;
        let reuse = reuse.filter(|reuse| !reuse.is_zero());
        Allowed { granted: Granted { reach, max_lease_s, add_labels, redact }, log, reuse }
    }
}

pub(crate) fn forbidden(reason: impl Into<String>) -> Error {
    Error::forbidden(reason).code("forbidden")
}

fn reason_of(reason: &str) -> String {
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(512).collect();
    if reason.is_empty() { "the site's policy refuses this".to_owned() } else { reason }
}
