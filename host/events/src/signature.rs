//! Signatures of webhooks after the Standard Webhooks specification (1.0.0): HMAC-SHA-256 over
//! `webhook-id.webhook-timestamp.body`, in base64, after `v1,`; one for each secret, so that a receiver can change its
//! key without losing a message.

use archipel_model::SecretBytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What a secret begins with.
const PREFIX: &[u8] = b"whsec_";
/// Bytes of a key.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret's key. The message says how to make one.
pub(crate) fn key(name: &str, secret: &SecretBytes) -> Result<SecretBytes, String> {
    secret
        .reveal()
        .strip_prefix(PREFIX)
        .and_then(|text| STANDARD.decode(text).ok())
        .filter(|key| KEY_BYTES.contains(&key.len()))
        .map(SecretBytes::new)
        .ok_or_else(|| {
            format!("secret {name} is not whsec_ and the base64 of 24 to 64 bytes; make one: echo \"whsec_$(openssl rand -base64 32)\"")
        })
}

/// The header `webhook-signature`.
pub(crate) fn sign(keys: &[SecretBytes], id: &str, timestamp: u64, body: &[u8]) -> String {
    let signatures = keys.iter().filter_map(|key| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.reveal()).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes())
    }

    /// The example of the specification's own libraries (standard-webhooks, `test_webhook`).
    #[test]
    fn the_signature_is_the_specifications() {
        let key = key("k", &secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signed = sign(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_keys_make_two_signatures() {
        let keys = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
            .map(|text| key("k", &secret(text)).unwrap());
        let signed = sign(&keys, "id", 1, b"x");
        assert_eq!(signed.split(' ').filter(|one| one.starts_with("v1,")).count(), 2);
    }

    #[test]
    fn a_secret_of_another_form_is_refused_with_the_way_to_make_one() {
        for wrong in ["", "hunter2", "whsec_", "whsec_!!!", "whsec_c2hvcnQ="] {
            assert!(key("hook", &secret(wrong)).unwrap_err().contains("openssl rand -base64 32"), "{wrong}");
        }
    }
}
