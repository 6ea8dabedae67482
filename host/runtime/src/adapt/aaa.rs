//! Token generator, federation identity, authentication and authorization.

use archipel_bindings::latest::exports::archipel::aaa::token_generator as wit;
use archipel_model::plugin::{
    Authentication, Authorization, Context, Credential, Decision, FederationIdentity, Field, LoginOutcome,
    Resource, TokenGenerator, Verdict,
};
use archipel_model::{Error, FederationUser, SecretBytes};
use async_trait::async_trait;

use super::{Component, absent};
use crate::call::{Answer, Call};
use crate::convert;

/// Resources in one question.
const QUESTIONS: usize = 10_000;

/// Turns what was typed into handles or texts, as the plugin's own form says.
async fn credentials(call: &mut Call<'_>, typed: Vec<Credential>) -> Answer<Vec<wit::Credential>> {
    let Some(indices) = &call.exports.token_generator else { return Ok(absent("token-generator")) };
    let guest = indices.load(&mut *call.store, call.instance)?;
    let fields = guest.call_credential_fields(&mut *call.store).await?;
    let mut filled = Vec::with_capacity(typed.len());
    for Credential { name, value } in typed {
        // A field that the form does not know is a secret: better unreadable than shown.
        let is_text = fields.iter().any(|field| field.name == name && !field.secret);
        let value = if is_text {
            match String::from_utf8(value.reveal().to_vec()) {
                Ok(text) => wit::Value::Text(text),
                Err(_) => return Ok(Err(Error::invalid(format!("credential {name} is not text")))),
            }
        } else {
            match call.store.data_mut().give_secret(format!("login.{name}"), value) {
                Ok(handle) => wit::Value::Secret(handle),
                Err(error) => return Ok(Err(error)),
            }
        };
        filled.push(wit::Credential { name, value });
    }
    Ok(Ok(filled))
}

fn outcome(call: &mut Call<'_>, outcome: wit::Outcome) -> Result<LoginOutcome, Error> {
    match outcome {
        wit::Outcome::Issued(issued) => Ok(LoginOutcome::Issued {
            token: call.store.data_mut().take_secret(issued.token)?,
            expires_at: issued.expires_at.map(convert::instant),
        }),
        wit::Outcome::Challenge(challenge) => convert::challenge(challenge).map(LoginOutcome::Challenge),
    }
}

#[async_trait]
impl TokenGenerator for Component {
    async fn credential_fields(&self) -> Result<Vec<Field>, Error> {
        self.0
            .aaa("token-generator.credential-fields", "", |call| {
                Box::pin(async move {
                    let Some(indices) = &call.exports.token_generator else {
                        return Ok(absent("token-generator"));
                    };
                    let guest = indices.load(&mut *call.store, call.instance)?;
                    Ok(convert::fields(guest.call_credential_fields(&mut *call.store).await?))
                })
            })
            .await
    }

    async fn create_token(&self, typed: Vec<Credential>, context: &Context) -> Result<LoginOutcome, Error> {
        let context = convert::context_to_wit(context);
        let request_id = context.request_id.clone();
        self.0
            .aaa("token-generator.create-token", &request_id, move |mut call| {
                Box::pin(async move {
                    let filled = match credentials(&mut call, typed).await? {
                        Ok(filled) => filled,
                        Err(error) => return Ok(Err(error)),
                    };
                    let Some(indices) = &call.exports.token_generator else {
                        return Ok(absent("token-generator"));
                    };
                    let guest = indices.load(&mut *call.store, call.instance)?;
                    let answer = guest.call_create_token(&mut *call.store, &filled, &context).await?;
                    Ok(answer.map_err(convert::error).and_then(|answer| outcome(&mut call, answer)))
                })
            })
            .await
    }

    async fn continue_token(
        &self,
        state: String,
        typed: Vec<Credential>,
        context: &Context,
    ) -> Result<LoginOutcome, Error> {
        let context = convert::context_to_wit(context);
        let request_id = context.request_id.clone();
        self.0
            .aaa("token-generator.continue-token", &request_id, move |mut call| {
                Box::pin(async move {
                    let filled = match credentials(&mut call, typed).await? {
                        Ok(filled) => filled,
                        Err(error) => return Ok(Err(error)),
                    };
                    let Some(indices) = &call.exports.token_generator else {
                        return Ok(absent("token-generator"));
                    };
                    let guest = indices.load(&mut *call.store, call.instance)?;
                    let answer =
                        guest.call_continue_token(&mut *call.store, &state, &filled, &context).await?;
                    Ok(answer.map_err(convert::error).and_then(|answer| outcome(&mut call, answer)))
                })
            })
            .await
    }
}

#[async_trait]
impl FederationIdentity for Component {
    async fn get_federation_user(&self, token: &SecretBytes) -> Result<FederationUser, Error> {
        let token = token.clone();
        self.0
            .aaa("federation-identity.get-federation-user", "", move |call| {
                Box::pin(async move {
                    let Some(indices) = &call.exports.federation_identity else {
                        return Ok(absent("federation-identity"));
                    };
                    let guest = indices.load(&mut *call.store, call.instance)?;
                    let token = match call.store.data_mut().lend_secret("session", token) {
                        Ok(handle) => handle,
                        Err(error) => return Ok(Err(error)),
                    };
                    let answer = guest.call_get_federation_user(&mut *call.store, token).await?;
                    Ok(answer.map_err(convert::error).and_then(convert::user_from_wit))
                })
            })
            .await
    }
}

#[async_trait]
impl Authentication for Component {
    async fn is_authentic(
        &self,
        user: &FederationUser,
        token: &SecretBytes,
        context: &Context,
    ) -> Result<Verdict, Error> {
        let (user, token, context) =
            (convert::user_to_wit(user), token.clone(), convert::context_to_wit(context));
        let request_id = context.request_id.clone();
        self.0
            .aaa("authentication.is-authentic", &request_id, move |call| {
                Box::pin(async move {
                    let Some(indices) = &call.exports.authentication else {
                        return Ok(absent("authentication"));
                    };
                    let guest = indices.load(&mut *call.store, call.instance)?;
                    let token = match call.store.data_mut().lend_secret("session", token) {
                        Ok(handle) => handle,
                        Err(error) => return Ok(Err(error)),
                    };
                    let answer = guest.call_is_authentic(&mut *call.store, &user, token, &context).await?;
                    Ok(answer.map_err(convert::error).map(convert::verdict))
                })
            })
            .await
    }
}

#[async_trait]
impl Authorization for Component {
    async fn is_authorized(
        &self,
        user: &FederationUser,
        resource: &Resource,
        context: &Context,
    ) -> Result<Decision, Error> {
        let (user, resource) = (convert::user_to_wit(user), convert::resource_to_wit(resource));
        let context = convert::context_to_wit(context);
        let request_id = context.request_id.clone();
        self.0
            .aaa("authorization.is-authorized", &request_id, move |call| {
                Box::pin(async move {
                    let Some(indices) = &call.exports.authorization else {
                        return Ok(absent("authorization"));
                    };
                    let guest = indices.load(&mut *call.store, call.instance)?;
                    let answer =
                        guest.call_is_authorized(&mut *call.store, &user, &resource, &context).await?;
                    Ok(answer.map_err(convert::error).and_then(convert::decision))
                })
            })
            .await
    }

    async fn are_authorized(
        &self,
        user: &FederationUser,
        resources: &[Resource],
        context: &Context,
    ) -> Result<Vec<Decision>, Error> {
        let asked = resources.len();
        let resources: Vec<_> = resources.iter().map(convert::resource_to_wit).collect();
        let (user, context) = (convert::user_to_wit(user), convert::context_to_wit(context));
        let request_id = context.request_id.clone();
        self.0
            .aaa("authorization.are-authorized", &request_id, move |call| {
                Box::pin(async move {
                    let Some(indices) = &call.exports.authorization else {
                        return Ok(absent("authorization"));
                    };
                    let guest = indices.load(&mut *call.store, call.instance)?;
                    let answer =
                        guest.call_are_authorized(&mut *call.store, &user, &resources, &context).await?;
                    Ok(answer.map_err(convert::error).and_then(|decisions| {
                        if decisions.len() != asked {
                            let answered = decisions.len();
                            return Err(convert::unusable(format!(
                                "{answered} decisions for {asked} questions"
                            )));
                        }
                        convert::list("decisions", decisions, QUESTIONS, convert::decision)
                    }))
                })
            })
            .await
    }
}
