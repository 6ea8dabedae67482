//! Federation to local: accounts and the tokens for them.

use archipel_model::plugin::{Context, Mapper};
use archipel_model::{Error, FederationUser, LocalToken, SecretBytes};
use async_trait::async_trait;

use super::{Component, absent};
use crate::convert;

/// Bytes of an account's name.
const ACCOUNT: usize = 4 << 10;
/// Bytes of what a mapper tells a driver.
const ATTRIBUTES: usize = 64 << 10;

#[async_trait]
impl Mapper for Component {
    async fn map_user(&self, user: &FederationUser, cloud: &str, context: &Context) -> Result<String, Error> {
        let (user, cloud) = (convert::user_to_wit(user), cloud.to_owned());
        let context = convert::context_to_wit(context);
        let request_id = context.request_id.clone();
        self.0
            .aaa("federation-to-local-mapper.map-user", &request_id, move |call| {
                Box::pin(async move {
                    let Some(indices) = &call.exports.mapper else {
                        return Ok(absent("federation-to-local-mapper"));
                    };
                    let guest = indices.load(&mut *call.store, call.instance)?;
                    let answer = guest.call_map_user(&mut *call.store, &user, &cloud, &context).await?;
                    Ok(answer.map_err(convert::error).and_then(|account| {
                        if account.is_empty() {
                            return Err(convert::unusable("the account is empty"));
                        }
                        convert::exact("the account", account, ACCOUNT)
                    }))
                })
            })
            .await
    }

    async fn get_token(
        &self,
        account: &str,
        cloud: &str,
        context: &Context,
        session: Option<&SecretBytes>,
    ) -> Result<LocalToken, Error> {
        let (account, cloud, session) = (account.to_owned(), cloud.to_owned(), session.cloned());
        let context = convert::context_to_wit(context);
        let request_id = context.request_id.clone();
        self.0
            .aaa("federation-to-local-mapper.get-token", &request_id, move |call| {
                Box::pin(async move {
                    let Some(indices) = &call.exports.mapper else {
                        return Ok(absent("federation-to-local-mapper"));
                    };
                    let guest = indices.load(&mut *call.store, call.instance)?;
                    let session =
                        match session.map(|token| call.store.data_mut().lend_session(token)).transpose() {
                            Ok(session) => session,
                            Err(error) => return Ok(Err(error)),
                        };
                    let answer =
                        guest.call_get_token(&mut *call.store, &account, &cloud, &context, session).await?;
                    Ok(answer.map_err(convert::error).and_then(|handle| {
                        let mut token = call.store.data_mut().take_token(handle)?;
                        token.account = convert::exact("a token's account", token.account, ACCOUNT)?;
                        token.attributes =
                            convert::bounded("a token's attributes", token.attributes, ATTRIBUTES)?;
                        Ok(token)
                    }))
                })
            })
            .await
    }
}
