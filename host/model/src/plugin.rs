//! What plugins can do, as plain Rust traits: `runtime` implements them over components, tests over fakes.
//! Every failure is [`Error`]; a plugin that traps, hangs or is not loaded is `transient` with a code
//! (`plugin-trap`, `plugin-deadline`, `plugin-away`), `applied: unknown` where the call had begun.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::order::{Allocation, Kind, Status};
use crate::power::PowerAction;
use crate::{Error, FederationUser, LocalToken, OrderId, Owner, SecretBytes, SiteId, Timestamp};

/// The circumstances of one request.
#[derive(Clone, Debug)]
pub struct Context {
    /// For logs.
    pub request_id: String,
    /// When.
    pub now: Timestamp,
    /// What is to be done.
    pub operation: Operation,
    /// This site.
    pub this_site: SiteId,
    /// The site that asks for its user.
    pub requesting_site: Option<SiteId>,
    /// The client's address.
    pub client_address: Option<String>,
    /// The group the user acts for.
    pub group: Option<String>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Make a session.
    Login,
    /// Order something.
    Create,
    /// Look at one thing.
    Read,
    /// Look at many.
    List,
    /// Change labels or lease.
    Update,
    /// Delete.
    Delete,
    /// A power action.
    Act,
    /// Manage the site.
    Admin,
}

impl Operation {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Create => "create",
            Self::Read => "read",
            Self::List => "list",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Act => "act",
            Self::Admin => "admin",
        }
    }
}

/// A credential field that a token generator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Key in the request.
    pub name: String,
    /// For people.
    pub label: String,
    /// Never shown.
    pub secret: bool,
    /// Must be given.
    pub required: bool,
}

/// A filled field: all values are kept as secrets; the runtime hands those of secret fields over as handles.
#[derive(Clone, Debug)]
pub struct Credential {
    /// As in [`Field::name`].
    pub name: String,
    /// What was typed.
    pub value: SecretBytes,
}

/// How a login goes on.
#[derive(Clone, Debug)]
pub enum LoginOutcome {
    /// Done: the plugin's own token.
    Issued {
        /// To be sealed into the session.
        token: SecretBytes,
        /// When it ends.
        expires_at: Option<Timestamp>,
    },
    /// A further question.
    Challenge(Challenge),
}

/// A further question to the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// What to tell.
    pub prompt: String,
    /// What to ask.
    pub fields: Vec<Field>,
    /// Where to send the person.
    pub uri: Option<String>,
    /// Ask again after so many seconds.
    pub interval_s: Option<u32>,
    /// Comes back in `continue_token`; sealed before a client sees it.
    pub state: String,
}

/// Turns credentials into a token.
#[async_trait]
pub trait TokenGenerator: Send + Sync {
    /// The fields to ask for.
    async fn credential_fields(&self) -> Result<Vec<Field>, Error>;
    /// Judges credentials.
    async fn create_token(
        &self,
        credentials: Vec<Credential>,
        context: &Context,
    ) -> Result<LoginOutcome, Error>;
    /// Goes on after a challenge.
    async fn continue_token(
        &self,
        state: String,
        credentials: Vec<Credential>,
        context: &Context,
    ) -> Result<LoginOutcome, Error>;
}

/// Says whom a token speaks of.
#[async_trait]
pub trait FederationIdentity: Send + Sync {
    /// The user of a token.
    async fn get_federation_user(&self, token: &SecretBytes) -> Result<FederationUser, Error>;
}

/// Whether a user is genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, and until when that may be reused.
    Authentic {
        /// `None` = no statement.
        until: Option<Timestamp>,
    },
    /// No, and why (for the log).
    NotAuthentic {
        /// Never sent to a client.
        reason: String,
    },
}

/// Says whether token and user are genuine now.
#[async_trait]
pub trait Authentication: Send + Sync {
    /// Judges.
    async fn is_authentic(
        &self,
        user: &FederationUser,
        token: &SecretBytes,
        context: &Context,
    ) -> Result<Verdict, Error>;
}

/// What someone holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Orders that are not closed.
    pub instances: u64,
    /// Virtual CPUs.
    pub vcpu: u64,
    /// Memory in MiB.
    pub ram_mib: u64,
    /// Storage in GiB.
    pub disk_gib: u64,
}

/// The thing that a request touches.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// An order's kind, or `cloud`, `spec`, `image`, `quota`, `event`, `order`, `session`, `admin`.
    pub kind: String,
    /// The order.
    pub id: Option<OrderId>,
    /// The cloud.
    pub cloud: Option<String>,
    /// The providing site.
    pub site: SiteId,
    /// Its owner; the caller for a create.
    pub owner: Option<Owner>,
    /// Its group.
    pub group: Option<String>,
    /// Its state.
    pub state: Option<String>,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// What was asked for.
    pub spec: Option<serde_json::Value>,
    /// What the owner holds.
    pub owner_usage: Option<Usage>,
    /// What the group holds.
    pub group_usage: Option<Usage>,
}

/// Whose things an allowed operation may touch; ordered from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// The caller's own.
    #[default]
    Own,
    /// Those of the group it acts for.
    Group,
    /// Everybody's.
    Any,
}

/// A condition on a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obligation {
    /// `max-lease`, `add-labels`, `redact`, `step-up` or `log`.
    pub name: String,
    /// Its argument.
    pub value: String,
}

/// Whether an operation is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow {
        /// How far.
        reach: Reach,
        /// Under these conditions.
        obligations: Vec<Obligation>,
        /// The same answer may be given for so long.
        valid_for: Option<Duration>,
    },
    /// No.
    Deny {
        /// For the caller.
        reason: String,
        /// What else is to happen.
        obligations: Vec<Obligation>,
    },
}

/// Says what a user may do.
#[async_trait]
pub trait Authorization: Send + Sync {
    /// One operation (in the context) on one resource.
    async fn is_authorized(
        &self,
        user: &FederationUser,
        resource: &Resource,
        context: &Context,
    ) -> Result<Decision, Error>;
    /// The same for many, in order.
    async fn are_authorized(
        &self,
        user: &FederationUser,
        resources: &[Resource],
        context: &Context,
    ) -> Result<Vec<Decision>, Error>;
}

/// Says which local account a user becomes, and logs in to it.
#[async_trait]
pub trait Mapper: Send + Sync {
    /// The account's stable name, at most 4 KiB.
    async fn map_user(&self, user: &FederationUser, cloud: &str, context: &Context) -> Result<String, Error>;
    /// A credential for an account decided earlier; `session` is the user's own token, absent in background work.
    async fn get_token(
        &self,
        account: &str,
        cloud: &str,
        context: &Context,
        session: Option<&SecretBytes>,
    ) -> Result<LocalToken, Error>;
}

/// An order that another rests on, with its instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Its id.
    pub order: OrderId,
    /// Its kind.
    pub kind: Kind,
    /// What the cloud calls it.
    pub instance_id: String,
    /// Its cloud.
    pub cloud: String,
    /// Its site.
    pub site: SiteId,
}

/// The order behind an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderRef {
    /// Its id.
    pub id: OrderId,
    /// `archipel:SITE:ORDER`.
    pub tag: String,
    /// Its kind.
    pub kind: Kind,
    /// What was asked for.
    pub spec: serde_json::Value,
    /// What it rests on.
    pub dependencies: Vec<Dependency>,
}

/// What a create is told.
#[derive(Clone, Debug)]
pub struct CreateContext {
    /// The order.
    pub order: OrderRef,
    /// 1, 2, ...
    pub attempt: u32,
    /// The same for all attempts of an order.
    pub idempotency_key: String,
}

/// What a create made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// What the cloud calls it.
    pub id: String,
    /// The driver's note, at most 16 KiB.
    pub driver_state: String,
}

/// An instance as the cloud shows it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// What the cloud calls it.
    pub id: String,
    /// In our words.
    pub status: Status,
    /// In its own word.
    pub cloud_state: String,
    /// Why, where failed.
    pub fault: Option<String>,
    /// What was granted.
    pub allocation: Allocation,
    /// IP addresses.
    pub addresses: Vec<String>,
    /// When to look again.
    pub poll_after: Option<Duration>,
}

/// What a look at one instance finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// It is there.
    Present(InstanceView),
    /// The project answered, and it is not there.
    Gone,
}

/// An instance that carries one of our tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// Its tag.
    pub tag: String,
    /// What it is.
    pub instance: InstanceView,
    /// When the cloud made it.
    pub created_at: Option<Timestamp>,
    /// As [`Created::driver_state`] would be.
    pub driver_state: String,
}

/// One page of tagged instances.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TaggedPage {
    /// In the cloud's order.
    pub items: Vec<Tagged>,
    /// Where the next page starts.
    pub next: Option<String>,
}

/// How a driver's creates behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CreateBehaviour {
    /// The same order twice gives one instance.
    Idempotent,
    /// Instances are found by their tag.
    Searchable,
    /// Neither: an unknown outcome stops the order with a fault that names the risk.
    Neither,
}

/// What the manifest says of one kind of a driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverDescriptor {
    /// How creates behave.
    pub create: CreateBehaviour,
    /// After so long a create of unknown outcome is visible, or never was.
    pub settle: Duration,
}

/// Drives one kind of instance of one cloud.
#[async_trait]
pub trait InstanceDriver: Send + Sync {
    /// How it behaves.
    fn descriptor(&self) -> DriverDescriptor;
    /// Creates, or completes, what exists for this order.
    async fn request_instance(&self, context: &CreateContext, token: &LocalToken) -> Result<Created, Error>;
    /// Looks at one instance.
    async fn get_instance(
        &self,
        id: &str,
        driver_state: &str,
        order: &OrderRef,
        token: &LocalToken,
    ) -> Result<Observed, Error>;
    /// Asks the cloud to delete it.
    async fn delete_instance(
        &self,
        id: &str,
        driver_state: &str,
        order: &OrderRef,
        token: &LocalToken,
    ) -> Result<(), Error>;
    /// All instances that carry this order's tag, oldest first.
    async fn find_instances(&self, order: &OrderRef, token: &LocalToken) -> Result<Vec<Tagged>, Error>;
    /// All instances of this site in the account.
    async fn list_instances(&self, token: &LocalToken, cursor: Option<&str>) -> Result<TaggedPage, Error>;
}

/// Acts on the power of machines.
#[async_trait]
pub trait PowerDriver: Send + Sync {
    /// The actions that it has.
    fn actions(&self) -> &[PowerAction];
    /// Asks the cloud for one; accepted is enough, and one that is so already is no error. Looks show what came of it.
    async fn act(
        &self,
        action: PowerAction,
        id: &str,
        driver_state: &str,
        order: &OrderRef,
        token: &LocalToken,
    ) -> Result<(), Error>;
}

/// A network that exists in the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudNetwork {
    /// What the cloud calls it.
    pub id: String,
    /// For people.
    pub name: String,
    /// Its address range.
    pub cidr: Option<String>,
    /// Not ours alone.
    pub shared: bool,
}

/// Lists networks that exist.
#[async_trait]
pub trait NetworkLister: Send + Sync {
    /// Networks that a compute of this account can use.
    async fn get_all_networks(&self, token: &LocalToken) -> Result<Vec<CloudNetwork>, Error>;
}

/// One counted resource of a quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaEntry {
    /// `instances`, `vcpu`, `ram_mib`, `volumes`, `storage_gib`, `networks`, or the cloud's own word.
    pub name: String,
    /// `None` = unlimited.
    pub total: Option<u64>,
    /// Used by everybody in the account.
    pub used: u64,
}

/// Tells what an account may still use.
#[async_trait]
pub trait QuotaDriver: Send + Sync {
    /// The account's quota.
    async fn get_user_quota(&self, token: &LocalToken) -> Result<Vec<QuotaEntry>, Error>;
}

/// A size of machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecEntry {
    /// What the cloud calls it.
    pub id: String,
    /// For people.
    pub name: String,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Memory in MiB.
    pub ram_mib: u64,
    /// Root disk in GiB.
    pub disk_gib: u64,
    /// Tags.
    pub attributes: std::collections::BTreeMap<String, String>,
}

/// Tells the sizes of machines.
#[async_trait]
pub trait SpecDriver: Send + Sync {
    /// All, smallest first.
    async fn get_all_specs(&self, token: &LocalToken) -> Result<Vec<SpecEntry>, Error>;
    /// One.
    async fn get_spec(&self, id: &str, token: &LocalToken) -> Result<SpecEntry, Error>;
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageEntry {
    /// What the cloud calls it.
    pub id: String,
    /// For people.
    pub name: String,
    /// Its size.
    pub size_bytes: Option<u64>,
    /// Smallest root disk in GiB.
    pub min_disk_gib: Option<u64>,
    /// Smallest memory in MiB.
    pub min_ram_mib: Option<u64>,
    /// The cloud's own word.
    pub status: String,
    /// Tags.
    pub attributes: std::collections::BTreeMap<String, String>,
}

/// Tells the images.
#[async_trait]
pub trait ImageDriver: Send + Sync {
    /// All that the account can use.
    async fn get_all_images(&self, token: &LocalToken) -> Result<Vec<ImageEntry>, Error>;
    /// One.
    async fn get_image(&self, id: &str, token: &LocalToken) -> Result<ImageEntry, Error>;
}
