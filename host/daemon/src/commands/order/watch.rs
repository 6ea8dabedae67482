//! `order watch`: the site answers when something changes (`Prefer: wait`), so nothing is polled.

use archipel_client::{Client, ClientError};
use archipel_model::order::State;
use http::Method;
use serde_json::{Value, json};

use super::{describe, path, text};
use crate::output::{Answer, Failure, Outcome, Printer};

/// Shorter than the client's own time to wait for an answer.
const WAIT: (&str, &str) = ("prefer", "wait=30");

/// Until nothing will change by itself.
pub(super) async fn until_settled(id: &str, client: &Client, printer: &Printer) -> Outcome {
    follow(id, client, printer, State::is_settled).await
}

/// Until it is gone.
pub(super) async fn until_closed(id: &str, client: &Client, printer: &Printer) -> Outcome {
    follow(id, client, printer, |state| state == State::Closed).await
}

async fn follow(id: &str, client: &Client, printer: &Printer, is_end: fn(State) -> bool) -> Outcome {
    let mut etag: Option<String> = None;
    let mut last = String::new();
    loop {
        let since = etag.as_deref().map(|etag| ("if-none-match", etag));
        let headers: Vec<(&str, &str)> = since.into_iter().flat_map(|since| [since, WAIT]).collect();
        let answer = match client.send(Method::GET, &path(id), &headers, None).await {
            // Closed long ago, and forgotten since.
            Ok(answer) if answer.status() == 404 && etag.is_some() => return Ok(Answer::Yes),
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
        if is_end(known) {
            printer.say(&describe(&order), &order);
            let has_failed = matches!(known, State::FailedOnRequest | State::FailedAfterRequest);
            return Ok(if has_failed { Answer::No } else { Answer::Yes });
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
