//! `order pause`, `resume`, `stop`, `start`, `reboot` and `hibernate`.

use archipel_client::Client;
use archipel_model::power::PowerAction;
use http::Method;

use super::{escaped, text, watch};
use crate::cli::ActArgs;
use crate::output::{Answer, Outcome, Printer};

/// Asks for an action.
pub(super) async fn act(action: PowerAction, args: &ActArgs, client: &Client, printer: &Printer) -> Outcome {
    let path = format!("/v1/computes/{}/actions/{action}", escaped(&args.id));
    let order = client.send(Method::POST, &path, &[], None).await?.success()?;
    if args.wait {
        return watch::until_switched(&args.id, action, client, printer).await;
    }
    printer.say(&format!("{} is asked to {action}; it is {}", args.id, text(&order, "state")), &order);
    Ok(Answer::Yes)
}
