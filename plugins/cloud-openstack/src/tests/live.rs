//! The real peer, natively: a small HTTP/1.1 client over loopback, and a login to Keystone.

use crate::wire::{Answer, Call, World};
use archipel_sdk::{Applied, Error, Result, clock};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

/// An account that is logged in.
pub(super) struct Live {
    token: String,
    /// Its project.
    pub(super) project: String,
    /// Endpoints by type.
    pub(super) endpoints: Value,
}

impl Live {
    /// Logs in as one of the peer's accounts, or as its admin.
    pub(super) fn login(peer: &Value, account: &str) -> Live {
        let who = peer["accounts"].get(account).unwrap_or(&peer[account]);
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": who["username"], "domain": {"name": "Default"}, "password": who["password"]}}},
            "scope": {"project": {"id": who["project_id"]}}}});
        let url = format!("{}/auth/tokens", peer["auth_url"].as_str().unwrap());
        let (status, headers, body) = exchange("POST", &url, &[], Some(&body.to_string())).unwrap();
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
        let token = header(&headers, "x-subject-token").unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let mut endpoints = json!({});
        for service in body["token"]["catalog"].as_array().unwrap() {
            let public =
                service["endpoints"].as_array().unwrap().iter().find(|one| one["interface"] == "public");
            endpoints[service["type"].as_str().unwrap()] = public.unwrap()["url"].clone();
        }
        Live { token, project: who["project_id"].as_str().unwrap().to_owned(), endpoints }
    }

    /// The same account with a token that nobody gave.
    pub(super) fn with_a_wrong_token(&self) -> Live {
        Live { token: "wrong".to_owned(), project: self.project.clone(), endpoints: self.endpoints.clone() }
    }

    /// Deletes what scenarios that failed have left in the project.
    pub(super) fn sweep(&self) {
        for _ in 0..60 {
            let mut left = 0;
            for (service, list, key) in [
                ("compute", "/servers/detail", "servers"),
                ("volumev3", "/volumes/detail", "volumes"),
                ("network", "/v2.0/networks", "networks"),
            ] {
                let (_, listed) = self.raw("GET", service, list, None);
                for one in listed[key].as_array().into_iter().flatten() {
                    let tag = one["metadata"]["archipel"].as_str().or(one["description"].as_str());
                    if tag.is_some_and(|tag| tag.starts_with("archipel:recorded.example.org:")) {
                        left += 1;
                        let path = list.trim_end_matches("/detail");
                        self.raw("DELETE", service, &format!("{path}/{}", one["id"].as_str().unwrap()), None);
                    }
                }
            }
            if left == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        panic!("the project still holds what an earlier scenario left")
    }

    /// What the test itself asks of the peer, beside the driver.
    pub(super) fn raw(&self, method: &str, service: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.endpoints[service].as_str().unwrap());
        let token = ("x-auth-token", self.token.as_str());
        let body = body.map(|body| body.to_string());
        let (status, _, body) = exchange(method, &url, &[token], body.as_deref()).unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

impl World for Live {
    fn send(&self, call: &Call) -> Result<Answer> {
        let mut headers = vec![("x-auth-token", self.token.as_str())];
        headers.extend(call.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let (status, headers, body) = exchange(call.method, &call.url, &headers, call.body.as_deref())
            .map_err(|error| Error::transient(error.to_string()).applied(Applied::Unknown))?;
        Ok(Answer { status, retry_after: header(&headers, "retry-after"), body })
    }

    fn now_ms(&self) -> u64 {
        clock::now_ms()
    }

    fn recall(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn remember(&self, _: &str, _: &[u8]) {}
}

type Raw = (u16, Vec<(String, String)>, Vec<u8>);

fn exchange(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&str>) -> std::io::Result<Raw> {
    let rest = url.strip_prefix("http://").expect("peers are on loopback");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut stream = TcpStream::connect(authority)?;
    let mut head = format!(
        "{method} {} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n",
        if path.is_empty() { "/" } else { path }
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        head.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{head}\r\n{}", body.unwrap_or_default()).as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end =
        answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.lines();
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    let body = answer[end + 4..].to_vec();
    let is_chunked = header(&headers, "transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
    Ok((status, headers, if is_chunked { dechunked(&body) } else { body }))
}

fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(String::from_utf8_lossy(&rest[..end]).trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        whole.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
    whole
}

fn header(headers: &[(String, String)], name: &str) -> Option<String> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}
