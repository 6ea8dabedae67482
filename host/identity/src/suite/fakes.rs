//! Plugins that say what a test told them to, a clock that a test turns, sessions in a map.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use archipel_model::plugin::{
    Authentication, Authorization, Context, Credential, Decision, FederationIdentity, Field, LoginOutcome,
    Operation, Reach, Resource, TokenGenerator, Verdict,
};
use archipel_model::site::{AuthorizationBinding, Generation, IdentityBinding, Site};
use archipel_model::{Clock, Error, FederationUser, Owner, SecretBytes, SessionId, SiteId, Timestamp};
use async_trait::async_trait;

use crate::store::{Session, SessionStore};
use crate::{Caller, Identity, IdentityConfig, Login, RequestInfo, SiteKeys};

pub(super) const ISSUER: &str = "https://idp.example.org";

/// What the fakes say, and what they were asked.
pub(super) struct Script {
    pub(super) now: Timestamp,
    pub(super) user: FederationUser,
    pub(super) identity: Option<Error>,
    pub(super) verdict: Result<Verdict, Error>,
    pub(super) decisions: BTreeMap<&'static str, Result<Decision, Error>>,
    pub(super) issued: Result<LoginOutcome, Error>,
    pub(super) asked: BTreeMap<String, usize>,
    pub(super) operations: Vec<Operation>,
    pub(super) seen_tokens: Vec<Vec<u8>>,
    pub(super) store_away: bool,
    pub(super) cut_answers: bool,
}

#[derive(Clone)]
pub(super) struct Fake(Arc<Mutex<Script>>);

impl Fake {
    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    fn asked(&self, what: &str) -> MutexGuard<'_, Script> {
        let mut script = self.script();
        *script.asked.entry(what.to_owned()).or_default() += 1;
        script
    }

    /// How often a plugin was asked.
    pub(super) fn count(&self, what: &str) -> usize {
        self.script().asked.get(what).copied().unwrap_or(0)
    }

    pub(super) fn turn(&self, by: Duration) {
        let mut script = self.script();
        script.now = script.now.plus(by);
    }
}

impl Clock for Fake {
    fn now(&self) -> Timestamp {
        self.script().now
    }
}

#[async_trait]
impl TokenGenerator for Fake {
    async fn credential_fields(&self) -> Result<Vec<Field>, Error> {
        drop(self.asked("fields"));
        Ok(["username", "password"]
            .map(|name| Field {
                name: name.into(),
                label: name.into(),
                secret: name == "password",
                required: true,
            })
            .to_vec())
    }

    async fn create_token(&self, _: Vec<Credential>, _: &Context) -> Result<LoginOutcome, Error> {
        self.asked("create").issued.clone()
    }

    async fn continue_token(
        &self,
        state: String,
        given: Vec<Credential>,
        _: &Context,
    ) -> Result<LoginOutcome, Error> {
        drop(self.asked("continue"));
        assert_eq!((state.as_str(), given[0].value.reveal()), ("plugin state", b"123456".as_slice()));
        Ok(issued())
    }
}

#[async_trait]
impl FederationIdentity for Fake {
    async fn get_federation_user(&self, token: &SecretBytes) -> Result<FederationUser, Error> {
        let mut script = self.asked("identity");
        script.seen_tokens.push(token.reveal().to_vec());
        script.identity.clone().map_or_else(|| Ok(script.user.clone()), Err)
    }
}

#[async_trait]
impl Authentication for Fake {
    async fn is_authentic(&self, _: &FederationUser, _: &SecretBytes, _: &Context) -> Result<Verdict, Error> {
        self.asked("authentication").verdict.clone()
    }
}

/// One link of the chain.
pub(super) struct Policy(pub(super) Fake, pub(super) &'static str);

#[async_trait]
impl Authorization for Policy {
    async fn is_authorized(
        &self,
        _: &FederationUser,
        _: &Resource,
        context: &Context,
    ) -> Result<Decision, Error> {
        let mut script = self.0.asked(self.1);
        script.operations.push(context.operation);
        script.decisions[self.1].clone()
    }

    async fn are_authorized(
        &self,
        _: &FederationUser,
        resources: &[Resource],
        _: &Context,
    ) -> Result<Vec<Decision>, Error> {
        let script = self.0.asked(self.1);
        let answers = resources.iter().map(|resource| match resource.state.as_deref() {
            Some("closed") => {
                Ok(Decision::Deny { reason: format!("{} says no", self.1), obligations: vec![] })
            }
            _ => script.decisions[self.1].clone(),
        });
        answers.skip(usize::from(script.cut_answers)).collect()
    }
}

/// Sessions in a map.
#[derive(Default)]
pub(super) struct Sessions {
    pub(super) sessions: Mutex<BTreeMap<SessionId, Session>>,
    tokens: Mutex<BTreeSet<[u8; 32]>>,
    fake: Option<Fake>,
}

impl Sessions {
    fn away(&self) -> Result<(), Error> {
        match &self.fake {
            Some(fake) if fake.script().store_away => Err(Error::transient("away").code("store-unavailable")),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl SessionStore for Sessions {
    async fn put(&self, session: &Session) -> Result<(), Error> {
        self.away()?;
        self.sessions.lock().unwrap().insert(session.id, session.clone());
        Ok(())
    }

    async fn get(&self, id: SessionId) -> Result<Option<Session>, Error> {
        self.away()?;
        if let Some(fake) = &self.fake {
            drop(fake.asked("session"));
        }
        Ok(self.sessions.lock().unwrap().get(&id).cloned())
    }

    async fn of_owner(&self, owner: &Owner, _: Timestamp, limit: usize) -> Result<Vec<Session>, Error> {
        let all = self.sessions.lock().unwrap();
        Ok(all.values().filter(|session| session.user.owner() == *owner).take(limit).cloned().collect())
    }

    async fn revoke(&self, id: SessionId, at: Timestamp) -> Result<Vec<SessionId>, Error> {
        self.away()?;
        let mut all = self.sessions.lock().unwrap();
        let found = all.get_mut(&id).map(|session| session.revoked_at = Some(at));
        Ok(found.map(|()| id).into_iter().collect())
    }

    async fn revoke_token(&self, sha256: [u8; 32], _: Timestamp) -> Result<(), Error> {
        self.tokens.lock().unwrap().insert(sha256);
        Ok(())
    }

    async fn is_token_revoked(&self, sha256: [u8; 32]) -> Result<bool, Error> {
        Ok(self.tokens.lock().unwrap().contains(&sha256))
    }

    async fn forget_before(&self, _: Timestamp, _: usize) -> Result<usize, Error> {
        Ok(0)
    }
}

pub(super) struct Swappable(Mutex<Arc<Generation>>);

impl Site for Swappable {
    fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.0.lock().unwrap())
    }
}

/// A site with one binding `local` and the chain `first`, `second`.
pub(super) struct World {
    pub(super) fake: Fake,
    pub(super) site: Arc<Swappable>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) identity: Arc<Identity>,
}

pub(super) fn site_id() -> SiteId {
    "site-a.example.org".parse().unwrap()
}

pub(super) fn allow(reach: Reach) -> Decision {
    Decision::Allow { reach, obligations: vec![], valid_for: None }
}

pub(super) fn issued() -> LoginOutcome {
    LoginOutcome::Issued { token: SecretBytes::new("inner"), expires_at: None }
}

pub(super) fn request() -> RequestInfo {
    RequestInfo {
        request_id: "r-1".into(),
        client_address: Some("192.0.2.1:5000".into()),
        requesting_site: None,
    }
}

pub(super) fn resource() -> Resource {
    Resource {
        kind: "compute".into(),
        id: None,
        cloud: Some("cloud-1".into()),
        site: site_id(),
        owner: None,
        group: None,
        state: None,
        labels: vec![],
        spec: None,
        owner_usage: None,
        group_usage: None,
    }
}

pub(super) fn binding(fake: &Fake, name: &str, issuers: &[&str]) -> IdentityBinding {
    IdentityBinding {
        name: name.into(),
        issuers: issuers.iter().map(|issuer| (*issuer).to_owned()).collect(),
        generator: Some(Arc::new(fake.clone())),
        identity: Arc::new(fake.clone()),
        authentication: Arc::new(fake.clone()),
        digest: format!("sha256:{name}"),
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(IdentityConfig::new(site_id()))
    }

    pub(super) fn with(config: IdentityConfig) -> Self {
        let now = Timestamp::from_millis(1_800_000_000_500);
        let fake = Fake(Arc::new(Mutex::new(Script {
            now,
            user: FederationUser {
                issuer: ISSUER.into(),
                subject: "alice".into(),
                name: "Alice".into(),
                email: None,
                groups: vec!["physics".into()],
                entitlements: vec![],
                attributes: vec![],
                home_site: None,
                assurance: "low".into(),
                authenticated_at: now,
                expires_at: None,
            },
            identity: None,
            verdict: Ok(Verdict::Authentic { until: None }),
            decisions: [("first", Ok(allow(Reach::Any))), ("second", Ok(allow(Reach::Any)))].into(),
            issued: Ok(issued()),
            asked: BTreeMap::new(),
            operations: vec![],
            seen_tokens: vec![],
            store_away: false,
            cut_answers: false,
        })));
        let generation = Generation {
            number: 1,
            site: site_id(),
            identity: vec![binding(&fake, "local", &[ISSUER])],
            authorization: chain(&fake, &["first", "second"]),
            clouds: BTreeMap::new(),
            aaa_away: vec![],
        };
        let site = Arc::new(Swappable(Mutex::new(Arc::new(generation))));
        let sessions = Arc::new(Sessions { fake: Some(fake.clone()), ..Sessions::default() });
        let identity = Identity::new(
            Arc::clone(&site) as Arc<dyn Site>,
            Arc::clone(&sessions) as Arc<dyn SessionStore>,
            Arc::new(SiteKeys::from_master(&[7; 32])),
            Arc::new(fake.clone()),
            config,
        );
        Self { fake, site, sessions, identity }
    }

    /// The same site and sessions seen by another daemon, with another master key or site id.
    pub(super) fn elsewhere(&self, master: u8, site: &str) -> Arc<Identity> {
        Identity::new(
            Arc::clone(&self.site) as Arc<dyn Site>,
            Arc::clone(&self.sessions) as Arc<dyn SessionStore>,
            Arc::new(SiteKeys::from_master(&[master; 32])),
            Arc::new(self.fake.clone()),
            IdentityConfig::new(site.parse().unwrap()),
        )
    }

    /// Swaps in the next generation, changed.
    pub(super) fn swap(&self, change: impl FnOnce(&mut Generation)) {
        let mut current = self.site.0.lock().unwrap();
        let mut next = Generation {
            number: current.number + 1,
            site: site_id(),
            identity: vec![binding(&self.fake, "local", &[ISSUER])],
            authorization: chain(&self.fake, &["first", "second"]),
            clouds: BTreeMap::new(),
            aaa_away: vec![],
        };
        change(&mut next);
        *current = Arc::new(next);
    }

    pub(super) async fn token(&self) -> String {
        match self.login().await.unwrap() {
            Login::Issued { token, .. } => token,
            other @ Login::Challenge { .. } => panic!("{other:?}"),
        }
    }

    pub(super) async fn login(&self) -> Result<Login, Error> {
        let given = [("username", "alice"), ("password", "secret")];
        let given = given.map(|(name, value)| (name.to_owned(), SecretBytes::new(value))).to_vec();
        self.identity.login(None, given, None, &request()).await
    }

    pub(super) async fn who(&self, token: &str) -> Result<Caller, Error> {
        self.identity.authenticate(token, None, &request()).await
    }
}

pub(super) fn chain(fake: &Fake, names: &[&'static str]) -> Vec<AuthorizationBinding> {
    names
        .iter()
        .map(|name| AuthorizationBinding {
            name: (*name).to_owned(),
            plugin: Arc::new(Policy(fake.clone(), name)),
            component: format!("sha256 of {name}"),
            digest: String::new(),
        })
        .collect()
}
