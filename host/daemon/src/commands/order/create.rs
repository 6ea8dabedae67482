//! `order create`: options become the body of the collection's POST; a file or `--spec-json` may hold the rest.

use std::io::Read;
use std::path::Path;

use archipel_client::Client;
use http::Method;
use serde_json::{Map, Value, json};

use super::{describe, text, watch};
use crate::cli::CreateArgs;
use crate::output::{Answer, Failure, Outcome, Printer};

pub(super) async fn create(args: &CreateArgs, client: &Client, printer: &Printer) -> Outcome {
    let body = Value::Object(body(args)?);
    let headers: Vec<(&str, &str)> =
        args.idempotency_key.iter().map(|key| ("idempotency-key", key.as_str())).collect();
    let path = format!("/v1/{}", args.kind.collection());
    let order = client.send(Method::POST, &path, &headers, Some(&body)).await?.success()?;
    printer.say(&describe(&order), &order);
    if args.wait { watch::until_settled(text(&order, "id"), client, printer).await } else { Ok(Answer::Yes) }
}

fn body(args: &CreateArgs) -> Result<Map<String, Value>, Failure> {
    let given = match (&args.spec_json, &args.file) {
        (Some(text), _) => Some(text.clone()),
        (_, Some(file)) => Some(read(file)?),
        _ => None,
    };
    let mut body = match given.map(|text| serde_json::from_str(&text)) {
        None => Map::new(),
        Some(Ok(Value::Object(body))) => body,
        Some(Ok(_)) => {
            return Err(Failure::environment("the spec must be a JSON object, as in {\"size_gib\": 1}"));
        }
        Some(Err(error)) => return Err(Failure::environment(format!("the spec is not JSON: {error}"))),
    };
    let file = |path: &Option<std::path::PathBuf>| path.as_deref().map(read).transpose();
    let networks: Vec<Value> = args
        .networks
        .iter()
        .map(|order| json!({ "order": order }))
        .chain(args.cloud_networks.iter().map(|id| json!({ "cloud_id": id })))
        .collect();
    let labels: Map<String, Value> =
        args.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let options: [(&str, Option<Value>); 19] = [
        ("name", args.name.as_ref().map(|name| json!(name))),
        ("cloud", args.cloud.as_ref().map(|cloud| json!(cloud))),
        ("group", args.group.as_ref().map(|group| json!(group))),
        ("labels", (!labels.is_empty()).then_some(Value::Object(labels))),
        ("lease", args.lease.map(|seconds| json!({ "duration_s": seconds }))),
        ("image", args.image.as_ref().map(|image| json!(image))),
        ("spec", args.spec.as_ref().map(|spec| json!(spec))),
        ("vcpu", args.vcpu.map(|vcpu| json!(vcpu))),
        ("ram_mib", args.ram_mib.map(|ram| json!(ram))),
        ("disk_gib", args.disk_gib.map(|disk| json!(disk))),
        ("networks", (!networks.is_empty()).then_some(Value::Array(networks))),
        ("public_key", file(&args.public_key)?.map(|key| json!(key.trim()))),
        ("user_data", file(&args.user_data)?.map(|data| json!(data))),
        ("size_gib", args.size_gib.map(|size| json!(size))),
        ("cidr", args.cidr.as_ref().map(|cidr| json!(cidr))),
        ("gateway", args.gateway.as_ref().map(|gateway| json!(gateway))),
        ("compute", args.compute.as_ref().map(|compute| json!(compute))),
        ("volume", args.volume.as_ref().map(|volume| json!(volume))),
        ("device", args.device.as_ref().map(|device| json!(device))),
    ];
    body.extend(options.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    Ok(body)
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Failure::environment(format!("{}: {error}", file.display())))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command, OrderCommand};

    fn body_of(arguments: &[&str]) -> Result<Value, Failure> {
        let line = ["archipel", "order", "create"].iter().chain(arguments);
        let Command::Order(OrderCommand::Create(args)) = Cli::try_parse_from(line).unwrap().command else {
            panic!()
        };
        body(&args).map(Value::Object)
    }

    #[test]
    fn options_are_put_over_the_spec() {
        let body = body_of(&[
            "compute",
            "--spec-json",
            r#"{"image":"x","vcpu":1}"#,
            "--vcpu",
            "2",
            "--network",
            "N",
            "--label",
            "a=b=c",
            "--lease",
            "1h",
        ]);
        assert_eq!(
            body.unwrap(),
            json!({"image": "x", "vcpu": 2, "labels": {"a": "b=c"}, "lease": {"duration_s": 3600}, "networks": [{"order": "N"}]})
        );
    }

    #[test]
    fn a_spec_that_is_no_object_is_refused_here() {
        let Err(Failure::Environment(message)) = body_of(&["volume", "--spec-json", "[1]"]) else { panic!() };
        assert_eq!(message, "the spec must be a JSON object, as in {\"size_gib\": 1}");
    }
}
