//! What a machine is told at its first start: the order's SSH key and the order's own user data, for cloud-init.
//!
//! The key goes in by cloud-init's `ssh_authorized_keys` and not as a Nova key pair. A key pair is a second resource, of
//! the service user and not of the project: it needs a call before and one after each create, stays behind when the
//! daemon dies in between, and cannot be searched by an order's tag. What is lost: an image without cloud-init (or
//! another reader of cloud-config) gets no key, and such an image would need its own way in anyway.
//!
//! With both, the document is a MIME multi-part as cloud-init reads it. Ours comes last and says that its keys are added
//! to those that the user's own cloud-config names.

use archipel_sdk::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest user data that Nova takes, encoded.
const LONGEST: usize = 65_535;

/// The boundary. It cannot occur in base64.
const BOUNDARY: &str = "==archipel==";

/// By how it begins, what a user's document is to cloud-init.
const TYPES: &[(&str, &str)] = &[
    ("#!", "text/x-shellscript"),
    ("#cloud-config-archive", "text/cloud-config-archive"),
    ("#cloud-config", "text/cloud-config"),
    ("#cloud-boothook", "text/cloud-boothook"),
    ("#include-once", "text/x-include-once-url"),
    ("#include", "text/x-include-url"),
    ("#part-handler", "text/part-handler"),
    ("#upstart-job", "text/upstart-job"),
    ("## template: jinja", "text/jinja2"),
    ("Content-Type: multipart/", "message/rfc822"),
    ("MIME-Version:", "message/rfc822"),
];

/// The body's `user_data`, encoded.
///
/// # Errors
/// `invalid` for what is too long, for a key of several lines, and for user data whose type nobody can tell beside a key.
pub(crate) fn encoded(public_key: Option<&str>, user_data: Option<&str>) -> Result<Option<String>> {
    let plain = match (public_key, user_data) {
        (None, None) => return Ok(None),
        (None, Some(data)) => data.to_owned(),
        (Some(key), None) => keys(key)?,
        (Some(key), Some(data)) => both(&keys(key)?, data)?,
    };
    let encoded = STANDARD.encode(plain);
    if encoded.len() > LONGEST {
        return Err(Error::invalid(format!(
            "user_data: {} bytes as Nova takes it, {LONGEST} at most; have the machine fetch what is large",
            encoded.len()
        )));
    }
    Ok(Some(encoded))
}

fn keys(key: &str) -> Result<String> {
    let key = key.trim();
    if key.is_empty() || key.contains(char::is_control) {
        return Err(Error::invalid("public_key: write one line, as in `ssh-ed25519 AAAA... name`"));
    }
    // A JSON string is a YAML string.
    let quoted = serde_json::to_string(key)?;
    Ok(format!(
        "#cloud-config\nmerge_how: \"dict(recurse_array,no_replace)+list(append)\"\nssh_authorized_keys:\n  - {quoted}\n"
    ))
}

fn both(ours: &str, theirs: &str) -> Result<String> {
    let kind = TYPES.iter().find(|(start, _)| theirs.starts_with(start)).map(|(_, kind)| *kind).ok_or_else(|| {
        Error::invalid("user_data: begin with #cloud-config, #! or another first line of cloud-init, or leave public_key out")
    })?;
    let mut document =
        format!("Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\nMIME-Version: 1.0\n\n");
    for (kind, part) in [(kind, theirs), ("text/cloud-config", ours)] {
        // A nested message may not be encoded (RFC 2046, 5.2.1).
        if kind == "message/rfc822" {
            document.push_str(&format!("--{BOUNDARY}\n{}\n", part.trim_end()));
        } else {
            document.push_str(&format!(
                "--{BOUNDARY}\nContent-Type: {kind}; charset=\"utf-8\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n{}\n",
                lines(&STANDARD.encode(part))
            ));
        }
    }
    document.push_str(&format!("--{BOUNDARY}--\n"));
    Ok(document)
}

/// Base64 in lines of 76, as MIME has it.
fn lines(encoded: &str) -> String {
    let mut text = String::with_capacity(encoded.len() + encoded.len() / 76);
    for (at, c) in encoded.chars().enumerate() {
        if at > 0 && at % 76 == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use archipel_sdk::ErrorKind;

    fn decoded(key: Option<&str>, data: Option<&str>) -> String {
        String::from_utf8(STANDARD.decode(encoded(key, data).unwrap().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn a_key_alone_is_a_cloud_config_and_user_data_alone_stays_as_it_is() {
        assert_eq!(encoded(None, None).unwrap(), None);
        assert_eq!(decoded(None, Some("anything at all")), "anything at all");
        let text = decoded(Some("ssh-ed25519 AAAA \"me\"\n"), None);
        assert!(text.starts_with("#cloud-config\n"), "{text}");
        assert!(text.contains(r#"  - "ssh-ed25519 AAAA \"me\"""#), "{text}");
    }

    #[test]
    fn both_become_one_document_with_ours_last() {
        let text = decoded(Some("ssh-ed25519 AAAA me"), Some("#!/bin/sh\necho hi\n"));
        assert!(
            text.starts_with(
                "Content-Type: multipart/mixed; boundary=\"==archipel==\"\nMIME-Version: 1.0\n\n"
            ),
            "{text}"
        );
        let script = text.find("text/x-shellscript").unwrap();
        assert!(script < text.find("text/cloud-config").unwrap());
        assert!(text.contains(&STANDARD.encode("#!/bin/sh\necho hi\n")));
        assert!(text.ends_with("--==archipel==--\n"));
    }

    #[test]
    fn what_cannot_be_merged_or_does_not_fit_is_refused_with_the_way_out() {
        let long = "x".repeat(50_000);
        for (key, data) in [(Some("a\nb"), None), (Some("k"), Some("??")), (None, Some(long.as_str()))] {
            let error = encoded(key, data).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    }
}
