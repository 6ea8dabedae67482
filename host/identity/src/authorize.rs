//! Per operation: may the caller do this? The chain is asked in order and all must allow (see `decision`).
//!
//! An answer is reused only where every plugin of the chain stated `valid-for`: for the shortest of them, bounded by
//! `decision_cache_ttl`, and only for the very same question (generation, user, group, operation, address, requesting
//! site and everything that is known of the resource). A refusal is never reused.

use archipel_model::plugin::{Decision, Operation, Reach, Resource};
use archipel_model::site::AuthorizationBinding;
use archipel_model::{Error, ErrorKind, Timestamp};

use crate::cache::{KeyHasher, KnownDecision};
use crate::decision::{Chain, forbidden};
use crate::identity::away;
use crate::rate::host_of;
use crate::{Caller, DENIED_BY, Granted, Identity, RequestInfo};

/// Resources in one call of a plugin. Keeps a call within its deadline; more are asked in several calls.
const RESOURCES_PER_CALL: usize = 200;

impl Identity {
    /// Whether the caller may do `operation` on `resource`, how far, and under which conditions.
    ///
    /// # Errors
    /// `forbidden` with the plugin's reason; `transient` with the code `aaa-unavailable` where a plugin is away.
    pub async fn authorize(
        &self,
        caller: &Caller,
        operation: Operation,
        resource: &Resource,
        request: &RequestInfo,
    ) -> Result<Granted, Error> {
        let mut answers =
            self.authorize_many(caller, operation, std::slice::from_ref(resource), request).await?;
        answers.pop().unwrap_or_else(|| Err(Error::internal("the chain gave no answer")))
    }

    /// The same for many resources, in order.
    ///
    /// # Errors
    /// The inner ones as [`authorize`](Self::authorize); the outer one where the chain cannot be asked at all.
    pub async fn authorize_many(
        &self,
        caller: &Caller,
        operation: Operation,
        resources: &[Resource],
        request: &RequestInfo,
    ) -> Result<Vec<Result<Granted, Error>>, Error> {
        if caller.built_in_admin {
            return Ok(resources.iter().map(|_| Ok(Granted::everything())).collect());
        }
        let mut answers = Vec::with_capacity(resources.len());
        for some in resources.chunks(RESOURCES_PER_CALL) {
            answers.extend(self.ask_chain(caller, operation, some, request).await?);
        }
        Ok(answers)
    }

    async fn ask_chain(
        &self,
        caller: &Caller,
        operation: Operation,
        resources: &[Resource],
        request: &RequestInfo,
    ) -> Result<Vec<Result<Granted, Error>>, Error> {
        let generation = &caller.generation;
        // A link whose plugin is away stands in the chain all the same and answers so; only no chain at all is a no.
        if generation.authorization.is_empty() {
            return Err(forbidden(
                "this site has no authorization, so everything is refused; its administrator adds an [[authorization]]",
            ));
        }
        let now = self.clock.now();
        let epoch = self.caches.epoch();
        let longest = self.config.decision_cache_ttl;
        let mut asked: Vec<Asked<'_>> = resources
            .iter()
            .map(|resource| {
                let key = (!longest.is_zero()).then(|| question(caller, operation, resource, request));
                match key.as_ref().and_then(|key| self.caches.decision(key, now)) {
                    Some(known) => Asked { resource, key, standing: Standing::Known(known) },
                    None => {
                        Asked { resource, key, standing: Standing::Open(Chain::new(&caller.user, longest)) }
                    }
                }
            })
            .collect();
        let context = self.context(operation, request, caller.group.as_deref(), now);
        for link in &generation.authorization {
            let mut open: Vec<&mut Asked<'_>> = asked.iter_mut().filter(|asked| asked.is_open()).collect();
            let decisions: Result<Vec<Decision>, Error> = match open.as_slice() {
                [] => break,
                [one] => {
                    link.plugin.is_authorized(&caller.user, one.resource, &context).await.map(|one| vec![one])
                }
                many => {
                    let resources: Vec<Resource> = many.iter().map(|asked| asked.resource.clone()).collect();
                    link.plugin.are_authorized(&caller.user, &resources, &context).await
                }
            };
            let decisions = decisions.map_err(|error| match error.kind {
                ErrorKind::Forbidden => forbidden(crate::judge::shown(&error.message)),
                _ => away(request, &format!("authorization {} did not judge", link.name), Some(&error)),
            })?;
            if decisions.len() != open.len() {
                let why =
                    format!("authorization {} answered {} of {}", link.name, decisions.len(), open.len());
                return Err(away(request, &why, None));
            }
            for (asked, decision) in open.iter_mut().zip(decisions) {
                asked.take(link, decision);
            }
        }
        Ok(asked
            .into_iter()
            .map(|asked| self.conclude(asked, caller, operation, request, epoch, now))
            .collect())
    }

    fn conclude(
        &self,
        asked: Asked<'_>,
        caller: &Caller,
        operation: Operation,
        request: &RequestInfo,
        epoch: u64,
        now: Timestamp,
    ) -> Result<Granted, Error> {
        let decision = match asked.standing {
            Standing::Known(known) => known,
            Standing::Refused(error) => return Err(error),
            Standing::Open(chain) => {
                let allowed = chain.end();
                let decision = KnownDecision { granted: allowed.granted, log: allowed.log };
                if let (Some(key), Some(reuse)) = (asked.key, allowed.reuse) {
                    self.caches.keep_decision(key, decision.clone(), epoch, now.plus(reuse));
                }
                decision
            }
        };
        if operation == Operation::Admin && decision.granted.reach < Reach::Any {
            return Err(forbidden("managing the site needs the reach \"any\" from the whole chain"));
        }
        for text in &decision.log {
            tracing::info!(
                request = %request.request_id, issuer = caller.user.issuer, subject = caller.user.subject,
                operation = operation.as_str(), kind = asked.resource.kind, text, "policy log"
            );
        }
        Ok(decision.granted)
    }
}

/// One resource on its way through the chain.
struct Asked<'a> {
    resource: &'a Resource,
    key: Option<[u8; 32]>,
    standing: Standing<'a>,
}

enum Standing<'a> {
    Known(KnownDecision),
    Open(Chain<'a>),
    Refused(Error),
}

impl Asked<'_> {
    fn is_open(&self) -> bool {
        matches!(self.standing, Standing::Open(_))
    }

    fn take(&mut self, link: &AuthorizationBinding, decision: Decision) {
        if let Standing::Open(chain) = &mut self.standing
            && let Err(error) = chain.take(&link.name, decision)
        {
            let decider = serde_json::to_value(link.decider()).unwrap_or_default();
            self.standing = Standing::Refused(error.detail(DENIED_BY, decider));
        }
    }
}

/// Everything that the plugins are told, as one key.
fn question(caller: &Caller, operation: Operation, resource: &Resource, request: &RequestInfo) -> [u8; 32] {
    let mut hasher = KeyHasher::new("decision");
    hasher.number(caller.generation.number);
    hasher.bytes(&caller.user_digest);
    hasher.optional(caller.group.as_deref());
    hasher.text(operation.as_str());
    hasher.optional(request.client_address.as_deref().map(host_of).as_deref());
    hasher.optional(request.requesting_site.as_ref().map(AsRef::as_ref));
    let Resource { kind, id, cloud, site, owner, group, state, labels, spec, owner_usage, group_usage } =
        resource;
    hasher.text(kind);
    hasher.bytes(id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()));
    hasher.optional(cloud.as_deref());
    hasher.text(site.as_str());
    hasher.optional(owner.as_ref().map(|owner| owner.issuer.as_str()));
    hasher.optional(owner.as_ref().map(|owner| owner.subject.as_str()));
    hasher.optional(group.as_deref());
    hasher.optional(state.as_deref());
    hasher.number(labels.len() as u64);
    for (key, value) in labels {
        hasher.text(key);
        hasher.text(value);
    }
    hasher.optional(spec.as_ref().map(ToString::to_string).as_deref());
    for usage in [owner_usage, group_usage] {
        hasher.number(u64::from(usage.is_some()));
        let usage = usage.unwrap_or_default();
        [usage.instances, usage.vcpu, usage.ram_mib, usage.disk_gib]
            .into_iter()
            .for_each(|n| hasher.number(n));
    }
    hasher.finish()
}
