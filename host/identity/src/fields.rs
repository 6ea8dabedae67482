//! Credentials against the fields that a generator asks for: checked before the plugin sees anything.

use std::collections::BTreeSet;

use archipel_model::plugin::{Credential, Field};
use archipel_model::{Error, SecretBytes};

use crate::config::{MAX_CREDENTIAL_BYTES, MAX_CREDENTIALS};

/// The credentials as the plugin gets them.
///
/// # Errors
/// `invalid`, naming the fields that are unknown, missing, doubled or too long. Values never appear.
pub(crate) fn fill(fields: &[Field], given: Vec<(String, SecretBytes)>) -> Result<Vec<Credential>, Error> {
    if given.len() > MAX_CREDENTIALS {
        return Err(Error::invalid(format!("give at most {MAX_CREDENTIALS} credentials")));
    }
    let asked = || fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut seen = BTreeSet::new();
    for (name, value) in &given {
        let shown: String = name.chars().take(64).collect();
        if !fields.iter().any(|field| field.name == *name) {
            return Err(Error::invalid(format!(
                "unknown credential {shown:?}; this binding asks for: {}",
                asked()
            )));
        }
        if !seen.insert(name.as_str()) {
            return Err(Error::invalid(format!("credential {shown:?} is given twice; give it once")));
        }
        if value.reveal().len() > MAX_CREDENTIAL_BYTES {
            let text =
                format!("credential {shown:?} is longer than {MAX_CREDENTIAL_BYTES} bytes; shorten it");
            return Err(Error::invalid(text));
        }
    }
    let missing: Vec<&str> = fields
        .iter()
        .filter(|field| field.required)
        .filter(|field| !given.iter().any(|(name, value)| *name == field.name && !value.reveal().is_empty()))
        .map(|field| field.name.as_str())
        .collect();
    if !missing.is_empty() {
        return Err(Error::invalid(format!("missing credentials: {}; give them too", missing.join(", ")))
            .detail("missing", missing));
    }
    Ok(given.into_iter().map(|(name, value)| Credential { name, value }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, required: bool) -> Field {
        Field { name: name.into(), label: name.into(), secret: true, required }
    }

    fn given(names: &[(&str, &str)]) -> Vec<(String, SecretBytes)> {
        names.iter().map(|(name, value)| ((*name).to_owned(), SecretBytes::new(*value))).collect()
    }

    #[test]
    fn what_is_wrong_is_named_and_values_are_not() {
        let fields = [field("username", true), field("password", true), field("otp", false)];
        let refused = |names: &[(&str, &str)]| fill(&fields, given(names)).unwrap_err().message;
        assert_eq!(refused(&[("username", "u")]), "missing credentials: password; give them too");
        assert_eq!(
            refused(&[("username", "u"), ("password", "")]),
            "missing credentials: password; give them too"
        );
        assert_eq!(
            refused(&[("user", "hidden")]),
            "unknown credential \"user\"; this binding asks for: username, password, otp"
        );
        assert_eq!(
            refused(&[("otp", "hidden"), ("otp", "hidden")]),
            "credential \"otp\" is given twice; give it once"
        );
        assert_eq!(fill(&fields, given(&[("password", "p"), ("username", "u")])).unwrap().len(), 2);
    }
}
