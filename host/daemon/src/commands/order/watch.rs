//! `order watch`: the site answers when something changes (`Prefer: wait`), so nothing is polled.

use archipel_client::{Client, ClientError};
use archipel_model::order::State;
use archipel_model::power::PowerAction;
use http::Method;
use serde_json::{Value, json};

use super::{describe, path, text};
use crate::output::{Answer, Failure, Outcome, Printer};

/// Shorter than the client's own time to wait for an answer.
const WAIT: (&str, &str) = ("prefer", "wait=30");

/// Until nothing will change by itself.
pub(super) async fn until_settled(id: &str, client: &Client, printer: &Printer) -> Outcome {
    let end = follow(id, client, printer, is_settled).await?;
    let has_failed = matches!(end.state, Some(State::FailedOnRequest | State::FailedAfterRequest));
    Ok(if has_failed { Answer::No } else { Answer::Yes })
}

/// Until a power action has ended, and whether it led where it should.
pub(super) async fn until_switched(
    id: &str,
    action: PowerAction,
    client: &Client,
    printer: &Printer,
) -> Outcome {
    let end = follow(id, client, printer, is_settled).await?;
    let is_so = end.state == Some(action.leads_to()) && !end.has_fault;
    Ok(if is_so { Answer::Yes } else { Answer::No })
}

/// Until it is gone.
pub(super) async fn until_closed(id: &str, client: &Client, printer: &Printer) -> Outcome {
    follow(id, client, printer, |_, state| state == State::Closed).await?;
    Ok(Answer::Yes)
}

fn is_settled(order: &Value, state: State) -> bool {
    state.is_settled() && order.get("power").is_none_or(Value::is_null)
}

/// How an order ended.
struct End {
    /// `None`: closed long ago, and forgotten since.
    state: Option<State>,
    has_fault: bool,
}

async fn follow(
    id: &str,
    client: &Client,
    printer: &Printer,
    is_end: fn(&Value, State) -> bool,
) -> Result<End, Failure> {
    let mut etag: Option<String> = None;
    let mut last = String::new();
    loop {
        let since = etag.as_deref().map(|etag| ("if-none-match", etag));
        let headers: Vec<(&str, &str)> = since.into_iter().flat_map(|since| [since, WAIT]).collect();
        let answer = match client.send(Method::GET, &path(id), &headers, None).await {
            Ok(answer) if answer.status() == 404 && etag.is_some() => {
                return Ok(End { state: None, has_fault: false });
            }
            Ok(answer) => answer,
            Err(error @ ClientError::NoAnswer { .. }) if etag.is_some() => {
                return Err(Failure::environment(format!(
                    "{error}; the order goes on by itself, watch it again later"
                )));
            }
            Err(error) => return Err(error.into()),
        };
        if answer.status() == 304 {
            continue;
        }
        etag = answer.header("etag").map(ToOwned::to_owned);
        let order = answer.success()?;
        let state = text(&order, "state").to_owned();
        let known = state.parse::<State>().map_err(Failure::environment)?;
        if is_end(&order, known) {
            printer.say(&describe(&order), &order);
            let has_fault = order.get("fault").is_some_and(|fault| !fault.is_null());
            return Ok(End { state: Some(known), has_fault });
        }
        if state != last {
            printer.say(
                &progress(&order),
                &json!({"id": id, "state": state, "updated_at": order.get("updated_at")}),
            );
            last = state;
        }
        if etag.is_none() {
            return Err(Failure::environment("the site gave no ETag to wait with"));
        }
    }
}

fn progress(order: &Value) -> String {
    format!("{}  {}", text(order, "updated_at"), text(order, "state"))
}
