//! The plugins of the site in memory, in plain Rust: what they answer, and how they fail when told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use archipel_api::{ReloadHook, Reloaded};
use archipel_model::order::{Allocation, Kind, Status};
use archipel_model::plugin::*;
use archipel_model::plugin_admin::{PluginAdmin, PluginState, PluginStatus};
use archipel_model::plugin_evidence::PluginEvidence;
use archipel_model::power::PowerAction;
use archipel_model::site::{CloudBinding, CloudState, Generation, Site, SweepPolicy};
use archipel_model::{Clock, CloudName, Error, FederationUser, LocalToken, SecretBytes, SystemClock};
use async_trait::async_trait;
use serde_json::Value;

/// What the plugins are told to do.
#[derive(Default)]
pub struct Switches {
    /// The authorization plugin does not answer.
    pub policy_is_away: AtomicBool,
    /// The authorization plugin panics.
    pub policy_panics: AtomicBool,
    /// The cloud does not answer.
    pub cloud_is_away: AtomicBool,
    /// The cloud refuses for good.
    pub cloud_refuses: AtomicBool,
    /// Creates are not finished.
    pub cloud_is_slow: AtomicBool,
    /// Power actions are refused for good.
    pub power_is_locked: AtomicBool,
    /// Power actions are accepted and not finished.
    pub power_is_slow: AtomicBool,
    /// The policy takes away the owner's name.
    pub redacts: AtomicBool,
    /// Lease that the policy asks for in seconds; 0 = none.
    pub max_lease_s: AtomicU64,
    /// Instances made.
    pub made: AtomicU64,
}

fn is_on(switch: &AtomicBool) -> bool {
    switch.load(Ordering::SeqCst)
}

pub struct Local;

fn user(name: &str) -> FederationUser {
    let groups = match name {
        "alice" | "carol" => vec!["research".to_owned()],
        "dave" => vec!["research".to_owned(), "teaching".to_owned()],
        _ => Vec::new(),
    };
    FederationUser {
        issuer: "urn:test".into(),
        subject: name.into(),
        name: name.to_uppercase(),
        email: Some(format!("{name}@example.org")),
        groups,
        entitlements: Vec::new(),
        attributes: vec![("shoe-size".into(), "42".into())],
        home_site: None,
        assurance: String::new(),
        authenticated_at: SystemClock.now(),
        expires_at: None,
    }
}

#[async_trait]
impl TokenGenerator for Local {
    async fn credential_fields(&self) -> Result<Vec<Field>, Error> {
        let field =
            |name: &str, secret| Field { name: name.into(), label: name.into(), secret, required: true };
        Ok(vec![field("username", false), field("password", true)])
    }

    async fn create_token(&self, credentials: Vec<Credential>, _: &Context) -> Result<LoginOutcome, Error> {
        let value = |name: &str| {
            let found = credentials.iter().find(|credential| credential.name == name);
            found
                .map(|credential| String::from_utf8_lossy(credential.value.reveal()).into_owned())
                .unwrap_or_default()
        };
        let (name, password) = (value("username"), value("password"));
        if name == "twofactor" {
            return Ok(LoginOutcome::Challenge(Challenge {
                prompt: "and the code?".into(),
                fields: vec![Field {
                    name: "code".into(),
                    label: "Code".into(),
                    secret: true,
                    required: true,
                }],
                uri: None,
                interval_s: None,
                state: "half".into(),
            }));
        }
        if password != format!("{name}-secret") {
            return Err(Error::unauthenticated("wrong password"));
        }
        Ok(LoginOutcome::Issued { token: SecretBytes::new(name), expires_at: None })
    }

    async fn continue_token(
        &self,
        _: String,
        _: Vec<Credential>,
        _: &Context,
    ) -> Result<LoginOutcome, Error> {
        Ok(LoginOutcome::Issued { token: SecretBytes::new("alice"), expires_at: None })
    }
}

#[async_trait]
impl FederationIdentity for Local {
    async fn get_federation_user(&self, token: &SecretBytes) -> Result<FederationUser, Error> {
        Ok(user(&String::from_utf8_lossy(token.reveal())))
    }
}

#[async_trait]
impl Authentication for Local {
    async fn is_authentic(&self, _: &FederationUser, _: &SecretBytes, _: &Context) -> Result<Verdict, Error> {
        Ok(Verdict::Authentic { until: None })
    }
}

/// admin: everything. auditor: the audit and nothing else. carol: reads her group's. mallory: may make nothing. Others: their own.
pub struct Policy(pub Arc<Switches>);

impl Policy {
    fn judge(
        &self,
        user: &FederationUser,
        resource: &Resource,
        context: &Context,
    ) -> Result<Decision, Error> {
        if is_on(&self.0.policy_is_away) {
            return Err(Error::transient("the policy plugin was stopped"));
        }
        assert!(!is_on(&self.0.policy_panics), "the policy panics");
        let mut obligations = Vec::new();
        if is_on(&self.0.redacts) {
            obligations.push(Obligation { name: "redact".into(), value: "/owner/name".into() });
        }
        let lease = self.0.max_lease_s.load(Ordering::SeqCst);
        if lease > 0 && context.operation == Operation::Create {
            obligations.push(Obligation { name: "max-lease".into(), value: lease.to_string() });
        }
        let deny = |reason: &str| Ok(Decision::Deny { reason: reason.to_owned(), obligations: Vec::new() });
        let reach = match (user.subject.as_str(), context.operation) {
            ("admin", _) => Reach::Any,
            ("auditor", Operation::List) if resource.kind == "audit" => Reach::Any,
            ("auditor", Operation::Login) => Reach::Own,
            ("auditor", _) => return deny("auditors read the audit"),
            (_, Operation::Admin) => return deny("you are no administrator"),
            ("mallory", Operation::Create) => return deny("mallory makes nothing here; ask for a role"),
            ("dave", Operation::Create) if resource.group.as_deref() == Some("teaching") => {
                return deny("not for teaching");
            }
            ("carol", Operation::Read | Operation::List) => Reach::Group,
            _ => Reach::Own,
        };
        Ok(Decision::Allow { reach, obligations, valid_for: None })
    }
}

#[async_trait]
impl Authorization for Policy {
    async fn is_authorized(
        &self,
        user: &FederationUser,
        resource: &Resource,
        context: &Context,
    ) -> Result<Decision, Error> {
        self.judge(user, resource, context)
    }

    async fn are_authorized(
        &self,
        user: &FederationUser,
        resources: &[Resource],
        context: &Context,
    ) -> Result<Vec<Decision>, Error> {
        resources.iter().map(|resource| self.judge(user, resource, context)).collect()
    }
}

struct Everyone;

#[async_trait]
impl Mapper for Everyone {
    async fn map_user(&self, user: &FederationUser, _: &str, _: &Context) -> Result<String, Error> {
        match user.subject.as_str() {
            "nobody" => Err(Error::forbidden("nobody has no account here")),
            _ => Ok("shared".into()),
        }
    }

    async fn get_token(
        &self,
        account: &str,
        _: &str,
        _: &Context,
        _: Option<&SecretBytes>,
    ) -> Result<LocalToken, Error> {
        Ok(LocalToken {
            account: account.into(),
            secret: None,
            expires_at: None,
            attributes: "{}".into(),
            made_by: "everyone".into(),
        })
    }
}

/// A cloud that does at once what it is told.
struct Cloud {
    kind: Kind,
    switches: Arc<Switches>,
    instances: Mutex<BTreeMap<String, Tagged>>,
}

impl Cloud {
    fn up(switches: &Switches) -> Result<(), Error> {
        if is_on(&switches.cloud_is_away) {
            return Err(Error::transient("connection refused").retry_after(Duration::from_secs(7)));
        }
        if is_on(&switches.cloud_refuses) {
            return Err(Error::permanent("the project is locked"));
        }
        Ok(())
    }
}

#[async_trait]
impl InstanceDriver for Cloud {
    fn descriptor(&self) -> DriverDescriptor {
        DriverDescriptor { create: CreateBehaviour::Idempotent, settle: Duration::ZERO }
    }

    async fn request_instance(&self, context: &CreateContext, _: &LocalToken) -> Result<Created, Error> {
        Self::up(&self.switches)?;
        let id = format!("{}-{}", self.kind, self.switches.made.fetch_add(1, Ordering::SeqCst));
        let instance = InstanceView {
            id: id.clone(),
            status: Status::Ready,
            cloud_state: "ACTIVE".into(),
            fault: None,
            allocation: Allocation { vcpu: Some(2), ram_mib: Some(2048), disk_gib: Some(10) },
            addresses: vec!["10.0.0.7".into()],
            poll_after: None,
        };
        let tagged = Tagged {
            tag: context.order.tag.clone(),
            instance,
            created_at: Some(SystemClock.now()),
            driver_state: "the driver's own".into(),
        };
        self.instances.lock().unwrap().insert(id.clone(), tagged);
        Ok(Created { id, driver_state: "the driver's own".into() })
    }

    async fn get_instance(&self, id: &str, _: &str, _: &OrderRef, _: &LocalToken) -> Result<Observed, Error> {
        Self::up(&self.switches)?;
        Ok(match self.instances.lock().unwrap().get(id) {
            Some(tagged) if is_on(&self.switches.cloud_is_slow) => {
                Observed::Present(InstanceView { status: Status::Creating, ..tagged.instance.clone() })
            }
            Some(tagged) => Observed::Present(tagged.instance.clone()),
            None => Observed::Gone,
        })
    }

    async fn delete_instance(&self, id: &str, _: &str, _: &OrderRef, _: &LocalToken) -> Result<(), Error> {
        self.instances.lock().unwrap().remove(id);
        Ok(())
    }

    async fn find_instances(&self, order: &OrderRef, _: &LocalToken) -> Result<Vec<Tagged>, Error> {
        Ok(self
            .instances
            .lock()
            .unwrap()
            .values()
            .filter(|tagged| tagged.tag == order.tag)
            .cloned()
            .collect())
    }

    async fn list_instances(&self, _: &LocalToken, _: Option<&str>) -> Result<TaggedPage, Error> {
        Ok(TaggedPage { items: self.instances.lock().unwrap().values().cloned().collect(), next: None })
    }
}

#[async_trait]
impl PowerDriver for Cloud {
    fn actions(&self) -> &[PowerAction] {
        &[PowerAction::Pause, PowerAction::Resume, PowerAction::Stop, PowerAction::Start, PowerAction::Reboot]
    }

    async fn act(
        &self,
        action: PowerAction,
        id: &str,
        _: &str,
        _: &OrderRef,
        _: &LocalToken,
    ) -> Result<(), Error> {
        Self::up(&self.switches)?;
        if is_on(&self.switches.power_is_locked) {
            return Err(Error::conflict("the machine is locked"));
        }
        let mut instances = self.instances.lock().unwrap();
        let machine = instances.get_mut(id).ok_or_else(|| Error::not_found("no such machine"))?;
        machine.instance.status = match action {
            _ if is_on(&self.switches.power_is_slow) => Status::Busy,
            PowerAction::Pause => Status::Paused,
            PowerAction::Stop => Status::Stopped,
            PowerAction::Hibernate => Status::Hibernated,
            PowerAction::Resume | PowerAction::Start | PowerAction::Reboot => Status::Ready,
        };
        Ok(())
    }
}

struct Offers(Arc<Switches>);

fn small() -> SpecEntry {
    SpecEntry {
        id: "small".into(),
        name: "Small".into(),
        vcpu: 1,
        ram_mib: 1024,
        disk_gib: 10,
        attributes: BTreeMap::new(),
    }
}

fn debian() -> ImageEntry {
    ImageEntry {
        id: "debian".into(),
        name: "Debian".into(),
        size_bytes: None,
        min_disk_gib: Some(2),
        min_ram_mib: None,
        status: "active".into(),
        attributes: BTreeMap::new(),
    }
}

#[async_trait]
impl SpecDriver for Offers {
    async fn get_all_specs(&self, _: &LocalToken) -> Result<Vec<SpecEntry>, Error> {
        Cloud::up(&self.0).map(|()| vec![small()])
    }

    async fn get_spec(&self, id: &str, _: &LocalToken) -> Result<SpecEntry, Error> {
        Cloud::up(&self.0)?;
        if id == "small" { Ok(small()) } else { Err(Error::not_found("no such flavour")) }
    }
}

#[async_trait]
impl ImageDriver for Offers {
    async fn get_all_images(&self, _: &LocalToken) -> Result<Vec<ImageEntry>, Error> {
        Cloud::up(&self.0).map(|()| vec![debian()])
    }

    async fn get_image(&self, id: &str, _: &LocalToken) -> Result<ImageEntry, Error> {
        Cloud::up(&self.0)?;
        if id == "debian" { Ok(debian()) } else { Err(Error::not_found("no such image")) }
    }
}

#[async_trait]
impl NetworkLister for Offers {
    async fn get_all_networks(&self, _: &LocalToken) -> Result<Vec<CloudNetwork>, Error> {
        Cloud::up(&self.0)?;
        Ok(vec![CloudNetwork { id: "public".into(), name: "Public".into(), cidr: None, shared: true }])
    }
}

#[async_trait]
impl QuotaDriver for Offers {
    async fn get_user_quota(&self, _: &LocalToken) -> Result<Vec<QuotaEntry>, Error> {
        Cloud::up(&self.0)?;
        Ok(vec![QuotaEntry { name: "vcpu".into(), total: Some(100), used: 10 }])
    }
}

pub struct Fixed(pub Arc<Generation>);

impl Site for Fixed {
    fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.0)
    }
}

pub struct Plugins(Mutex<BTreeMap<String, PluginStatus>>);

impl Plugins {
    pub fn new() -> Self {
        let status = |name: &str, state, last_error: Option<&str>| PluginStatus {
            name: name.into(),
            version: Some("1.0.0".into()),
            digest: Some("sha256:00".into()),
            state,
            exports: vec!["archipel:aaa/authorization@0.1.0".into()],
            bindings: vec!["authorization/0".into()],
            requested: serde_json::json!({"hosts": []}),
            granted: Value::Null,
            figures: BTreeMap::new(),
            shadow: None,
            quarantine: None,
            quarantines: 0,
            last_error: last_error.map(str::to_owned),
            since: SystemClock.now(),
            signed_by: None,
            start: "fresh".into(),
        };
        let all = [
            status("policy", PluginState::Live, None),
            status("broken", PluginState::Rejected, Some("not a component")),
        ];
        Self(Mutex::new(all.into_iter().map(|status| (status.name.clone(), status)).collect()))
    }

    fn set(&self, name: &str, state: PluginState, why: Option<&str>) -> Result<PluginStatus, Error> {
        let mut all = self.0.lock().unwrap();
        let status = all.get_mut(name).ok_or_else(|| Error::not_found("no such plugin"))?;
        status.state = state;
        status.last_error = why.map(str::to_owned);
        Ok(status.clone())
    }
}

#[async_trait]
impl PluginAdmin for Plugins {
    fn list(&self) -> Vec<PluginStatus> {
        self.0.lock().unwrap().values().cloned().collect()
    }

    fn get(&self, name: &str) -> Option<PluginStatus> {
        self.0.lock().unwrap().get(name).cloned()
    }

    fn evidence(&self, name: &str) -> Option<PluginEvidence> {
        self.get(name).map(|status| PluginEvidence {
            plugin: status.name,
            quarantine: None,
            failures: Vec::new(),
            forgotten: 0,
        })
    }

    async fn reload(&self, name: Option<&str>) -> Result<Vec<PluginStatus>, Error> {
        Ok(self.list().into_iter().filter(|status| name.is_none_or(|name| name == status.name)).collect())
    }

    async fn quarantine(&self, name: &str, reason: &str) -> Result<PluginStatus, Error> {
        self.set(name, PluginState::Quarantined, Some(reason))
    }

    async fn release(&self, name: &str) -> Result<PluginStatus, Error> {
        self.set(name, PluginState::Live, None)
    }
}

pub struct Reload;

#[async_trait]
impl ReloadHook for Reload {
    async fn reload(&self) -> Result<Reloaded, Error> {
        Ok(Reloaded {
            generation: 2,
            changed: vec!["cloud one: concurrency".into()],
            needs_restart: Vec::new(),
        })
    }
}

pub fn cloud(name: &str, switches: &Arc<Switches>, kinds: &[Kind]) -> (CloudName, Arc<CloudBinding>) {
    let offers = || Arc::new(Offers(Arc::clone(switches)));
    let name: CloudName = name.parse().unwrap();
    let drive = |kind| Arc::new(Cloud { kind, switches: Arc::clone(switches), instances: Mutex::default() });
    let machines = drive(Kind::Compute);
    let drivers = kinds.iter().map(|kind| {
        let driver = if *kind == Kind::Compute { Arc::clone(&machines) } else { drive(*kind) };
        (*kind, driver as Arc<dyn InstanceDriver>)
    });
    let drivers = drivers.collect();
    let has_all = kinds.len() == Kind::ALL.len();
    let binding = CloudBinding {
        name: name.clone(),
        driver: "fake".into(),
        region: None,
        concurrency: 4,
        state: CloudState::Active,
        sweep: SweepPolicy::default(),
        mapper: Arc::new(Everyone),
        mapper_name: "everyone".into(),
        mapper_digest: "m".into(),
        drivers,
        power: has_all.then_some(machines as Arc<dyn PowerDriver>),
        networks: has_all.then(|| offers() as Arc<dyn NetworkLister>),
        quota: has_all.then(|| offers() as Arc<dyn QuotaDriver>),
        specs: has_all.then(|| offers() as Arc<dyn SpecDriver>),
        images: has_all.then(|| offers() as Arc<dyn ImageDriver>),
        away: None,
    };
    (name, Arc::new(binding))
}
