//! Users, sessions and logins as clients see them. Tokens are shown once, to whom they were made for.

use archipel_identity::store::Session;
use archipel_identity::{BindingInfo, Caller};
use archipel_model::plugin::Field;
use archipel_model::{FederationUser, SessionId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// A federation user as the site sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserView {
    /// Who vouches for the subject.
    issuer: String,
    /// Stable within the issuer.
    subject: String,
    /// For people.
    name: String,
    email: Option<String>,
    groups: Vec<String>,
    entitlements: Vec<String>,
    attributes: Vec<Attribute>,
    /// Where the user is at home; null = this site.
    home_site: Option<String>,
    /// Level of assurance; empty = not stated.
    assurance: String,
    #[schema(value_type = String, format = DateTime)]
    authenticated_at: Timestamp,
    /// When this statement ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// Anything else that is known of a user.
#[derive(Debug, Serialize, ToSchema)]
struct Attribute {
    name: String,
    value: String,
}

impl UserView {
    pub(crate) fn of(user: &FederationUser) -> Self {
        Self {
            issuer: user.issuer.clone(),
            subject: user.subject.clone(),
            name: user.name.clone(),
            email: user.email.clone(),
            groups: user.groups.clone(),
            entitlements: user.entitlements.clone(),
            attributes: user
                .attributes
                .iter()
                .map(|(name, value)| Attribute { name: name.clone(), value: value.clone() })
                .collect(),
            home_site: user.home_site.as_ref().map(ToString::to_string),
            assurance: user.assurance.clone(),
            authenticated_at: user.authenticated_at,
            expires_at: user.expires_at,
        }
    }
}

/// Who the caller is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    #[serde(flatten)]
    user: UserView,
    /// The group that requests act for.
    group: Option<String>,
    /// The identity binding that judged.
    binding: String,
    /// The session, where there is one.
    #[schema(value_type = Option<String>, format = Uuid)]
    session: Option<SessionId>,
}

impl Me {
    pub(crate) fn of(caller: &Caller) -> Self {
        Self {
            user: UserView::of(&caller.user),
            group: caller.group.clone(),
            binding: caller.binding.clone(),
            session: caller.session,
        }
    }
}

/// A session of the caller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionView {
    #[schema(value_type = String, format = Uuid)]
    id: SessionId,
    /// The identity binding that judged the credentials.
    binding: String,
    /// The one that this request came with.
    current: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl SessionView {
    pub(crate) fn of(session: &Session, current: Option<SessionId>) -> Self {
        Self {
            id: session.id,
            binding: session.binding.clone(),
            current: current == Some(session.id),
            created_at: session.created_at,
            expires_at: session.expires_at,
        }
    }
}

/// A way to log in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Binding {
    /// Its name: `binding` of POST.
    name: String,
    /// The issuers whose users it knows.
    issuers: Vec<String>,
    /// Whether tokens are made here; if not, users come with tokens made elsewhere.
    login: bool,
    /// The keys of `credentials`.
    fields: Vec<FieldView>,
    /// Why it cannot be used now.
    away: Option<String>,
}

/// A credential that is asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CredentialField)]
pub(crate) struct FieldView {
    /// Key in `credentials`.
    name: String,
    /// For people.
    label: String,
    /// Do not show it while it is typed.
    secret: bool,
    /// Must be given.
    required: bool,
}

impl FieldView {
    pub(crate) fn of(field: &Field) -> Self {
        Self {
            name: field.name.clone(),
            label: field.label.clone(),
            secret: field.secret,
            required: field.required,
        }
    }
}

impl Binding {
    pub(crate) fn of(binding: &BindingInfo) -> Self {
        Self {
            name: binding.name.clone(),
            issuers: binding.issuers.clone(),
            login: binding.login,
            fields: binding.fields.iter().map(FieldView::of).collect(),
            away: binding.away.clone(),
        }
    }
}

/// A new token.
#[derive(Serialize, ToSchema)]
pub(crate) struct Issued {
    /// Send it as `Authorization: Bearer`. It is shown only now.
    pub(crate) token: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires_at: Timestamp,
    pub(crate) user: UserView,
}

/// A further question.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Challenged {
    pub(crate) challenge: ChallengeView,
}

/// A further question: answer it by another POST with this `binding`, this `state` and the fields.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Challenge)]
pub(crate) struct ChallengeView {
    /// Who asks.
    pub(crate) binding: String,
    /// For the person.
    pub(crate) prompt: String,
    pub(crate) fields: Vec<FieldView>,
    /// Where to send the person.
    pub(crate) uri: Option<String>,
    /// Ask again after so many seconds.
    pub(crate) interval_s: Option<u32>,
    /// Opaque; give it back.
    pub(crate) state: String,
    /// Answer before.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires_at: Timestamp,
}
