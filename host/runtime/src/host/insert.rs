//! Puts the pieces of an exchange together: the host escapes each secret for the place it stands in, and tells which
//! secret goes in as what, so that the grant can be asked. Pure.

use archipel_model::Error;
use archipel_vault::Placement;
use http::HeaderName;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use super::attach::header_placement;
use super::credentials::Credential;

/// A piece of a header or body.
pub(crate) enum Piece {
    /// As it stands.
    Text(String),
    /// Inside a JSON string.
    Json(Credential),
    /// Percent-encoded.
    Form(Credential),
    /// As it is.
    Raw(Credential),
}

/// A secret that goes in, and as what.
pub(crate) type Use = (Credential, Placement);

/// A header's value.
pub(crate) fn header(
    name: &HeaderName,
    pieces: Vec<Piece>,
    uses: &mut Vec<Use>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let is_bearer = *name == AUTHORIZATION
        && matches!(pieces.as_slice(), [Piece::Text(scheme), Piece::Raw(_)] if scheme.eq_ignore_ascii_case("bearer "));
    let placement = if is_bearer { Placement::Bearer } else { header_placement(name.as_str())? };
    let mut value = Zeroizing::new(Vec::new());
    let mut secret = false;
    for piece in pieces {
        match piece {
            Piece::Text(text) => value.extend_from_slice(text.as_bytes()),
            Piece::Raw(credential) => {
                value.extend_from_slice(credential.bytes.reveal());
                uses.push((credential, placement.clone()));
                secret = true;
            }
            Piece::Json(_) | Piece::Form(_) => {
                return Err(Error::invalid("json and form pieces are for bodies; in a header write raw"));
            }
        }
    }
    if *name == AUTHORIZATION && !secret {
        return Err(Error::invalid("authorization is for secrets; put one in with raw, or attach it"));
    }
    Ok(value)
}

/// The body.
pub(crate) fn body(pieces: Vec<Piece>, uses: &mut Vec<Use>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(Vec::new());
    for piece in pieces {
        match piece {
            Piece::Text(text) => bytes.extend_from_slice(text.as_bytes()),
            Piece::Json(credential) => {
                let text = std::str::from_utf8(credential.bytes.reveal()).map_err(|_| {
                    Error::invalid(format!(
                        "secret {:?} is not text, so it cannot stand in JSON",
                        credential.name
                    ))
                })?;
                let quoted = Zeroizing::new(serde_json::Value::from(text).to_string());
                let inner =
                    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
                bytes.extend_from_slice(inner.as_bytes());
                uses.push((credential, Placement::Json));
            }
            Piece::Form(credential) => {
                for &byte in credential.bytes.reveal() {
                    if byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte) {
                        bytes.push(byte);
                    } else {
                        bytes.extend_from_slice(format!("%{byte:02X}").as_bytes());
                    }
                }
                uses.push((credential, Placement::Form));
            }
            Piece::Raw(_) => {
                return Err(Error::invalid("raw pieces are for headers; in a body write json or form"));
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use archipel_model::SecretBytes;

    use super::*;

    fn secret(bytes: &str) -> Credential {
        Credential { name: "pw".into(), bytes: SecretBytes::new(bytes.as_bytes().to_vec()) }
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    #[test]
    fn a_secret_cannot_leave_its_json_string() {
        let mut uses = Vec::new();
        let made = body(
            vec![
                text("{\"password\":\""),
                Piece::Json(secret("a\",\"admin\":true,\"x\":\"\\\n")),
                text("\"}"),
            ],
            &mut uses,
        )
        .unwrap();
        let parsed: serde_json::Value = serde_json::from_slice(&made).unwrap();
        assert_eq!(parsed.as_object().unwrap().len(), 1);
        assert_eq!(parsed["password"], "a\",\"admin\":true,\"x\":\"\\\n");
        assert_eq!(uses[0].1, Placement::Json);
    }

    #[test]
    fn a_secret_cannot_leave_its_form_field() {
        let mut uses = Vec::new();
        let made =
            body(vec![text("user=a&password="), Piece::Form(secret("x&admin=1 +é"))], &mut uses).unwrap();
        assert_eq!(std::str::from_utf8(&made).unwrap(), "user=a&password=x%26admin%3D1%20%2B%C3%A9");
        assert_eq!(uses[0].1, Placement::Form);
    }

    #[test]
    fn a_bearer_header_is_known_as_such() {
        let mut uses = Vec::new();
        let made =
            header(&AUTHORIZATION, vec![text("Bearer "), Piece::Raw(secret("tok"))], &mut uses).unwrap();
        assert_eq!(made.as_slice(), b"Bearer tok");
        header(&AUTHORIZATION, vec![text("Custom "), Piece::Raw(secret("tok"))], &mut uses).unwrap();
        header(&HeaderName::from_static("x-auth-token"), vec![Piece::Raw(secret("tok"))], &mut uses).unwrap();
        let placements: Vec<String> = uses.iter().map(|(_, placement)| placement.to_string()).collect();
        assert_eq!(placements, ["bearer", "header:authorization", "header:x-auth-token"]);
    }

    #[test]
    fn pieces_in_the_wrong_place_are_refused() {
        let mut uses = Vec::new();
        assert!(body(vec![Piece::Raw(secret("x"))], &mut uses).is_err());
        assert!(header(&HeaderName::from_static("x"), vec![Piece::Json(secret("x"))], &mut uses).is_err());
        assert!(header(&AUTHORIZATION, vec![text("Bearer mine")], &mut uses).is_err());
        assert!(header(&HeaderName::from_static("host"), vec![text("evil")], &mut uses).is_err());
        let binary = Credential { name: "pw".into(), bytes: SecretBytes::new(vec![0xff]) };
        assert!(body(vec![Piece::Json(binary)], &mut uses).is_err());
    }
}
