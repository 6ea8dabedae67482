//! `archipel:aaa/{token-generator,federation-identity,authentication}`.

use std::collections::BTreeSet;

use archipel_model::plugin::{
    Authentication, Credential, FederationIdentity, Field, LoginOutcome, Operation, TokenGenerator, Verdict,
};
use archipel_model::site::IdentityBinding;
use archipel_model::{Clock, ErrorKind, FederationUser, SecretBytes};

use super::{answered, context, worked};
use crate::bench::Workbench;
use crate::report::{Report, Tested, ensure, fail, skip};

const GENERATOR: &str = "token-generator";
const IDENTITY: &str = "federation-identity";
const AUTHENTICATION: &str = "authentication";

/// Tokens that nobody issued.
const FORGED: [&str; 5] = [
    "",
    "nonsense",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsImlzcyI6Imh0dHBzOi8vd29ya2JlbmNoLmV4YW1wbGUub3JnIn0.",
    "{\"subject\":\"admin\"}",
    "\u{0}\u{1b}[2J",
];

/// Tries all of it.
pub(super) async fn check(bench: &Workbench, report: &mut Report) {
    let generation = bench.generation();
    let Some(binding) = generation.identity.first() else { return };
    let token = match &binding.generator {
        Some(generator) => check_generator(bench, &**generator, report).await,
        None => None,
    };
    let user = if bench.has("aaa/federation-identity") {
        check_identity(bench, binding, token.as_ref(), report).await
    } else {
        None
    };
    if bench.has("aaa/authentication") {
        check_authentication(bench, &*binding.authentication, token.as_ref(), user, report).await;
    }
}

async fn check_generator(
    bench: &Workbench,
    generator: &dyn TokenGenerator,
    report: &mut Report,
) -> Option<SecretBytes> {
    let fields = report.note(
        GENERATOR,
        "its fields are constant and have names of their own",
        fields(generator).await,
    )?;
    report.note(
        GENERATOR,
        "wrong and missing credentials are refused",
        wrong(bench, generator, &fields).await,
    );
    report.note(GENERATOR, "right credentials become a token", login(bench, generator, &fields).await)
}

async fn fields(generator: &dyn TokenGenerator) -> Tested<Vec<Field>> {
    let fields = worked("credential-fields", generator.credential_fields().await)?;
    let again = worked("credential-fields again", generator.credential_fields().await)?;
    ensure(fields == again, || "they differ when asked again".to_owned())?;
    let names: BTreeSet<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    ensure(names.len() == fields.len() && !names.contains(""), || {
        format!("not each has a name: {fields:?}")
    })?;
    Ok(fields)
}

fn filled(fields: &[Field], value: impl Fn(&Field) -> Option<String>) -> Vec<Credential> {
    fields
        .iter()
        .filter_map(|field| {
            let value = SecretBytes::new(value(field)?);
            Some(Credential { name: field.name.clone(), value })
        })
        .collect()
}

async fn wrong(bench: &Workbench, generator: &dyn TokenGenerator, fields: &[Field]) -> Tested {
    let case = &bench.case.login;
    let tries = [
        ("no credentials", filled(fields, |_| None)),
        ("nonsense", filled(fields, |_| Some("nobody-7f3a".to_owned()))),
        ("empty ones", filled(fields, |_| Some(String::new()))),
        (
            "a wrong secret",
            filled(fields, |field| {
                if field.secret { Some("wrong-7f3a".to_owned()) } else { case.get(&field.name).cloned() }
            }),
        ),
        ("strange ones", filled(fields, |_| Some("\u{0}\u{1b}'\"\\".repeat(100)))),
    ];
    for (what, credentials) in tries {
        let answer = generator.create_token(credentials, &context(bench, Operation::Login)).await;
        match answered(what, answer)? {
            Ok(LoginOutcome::Issued { .. }) => return fail(format!("{what} became a token")),
            Ok(LoginOutcome::Challenge(_)) => {}
            Err(error)
                if matches!(
                    error.kind,
                    ErrorKind::Unauthenticated | ErrorKind::Invalid | ErrorKind::Transient
                ) => {}
            Err(error) => {
                return fail(format!(
                    "{what}: {} ({error}); wrong credentials are unauthenticated",
                    error.kind
                ));
            }
        }
    }
    Ok(())
}

async fn login(bench: &Workbench, generator: &dyn TokenGenerator, fields: &[Field]) -> Tested<SecretBytes> {
    if bench.case.login.is_empty() {
        return skip("the case has no login");
    }
    let credentials = filled(fields, |field| bench.case.login.get(&field.name).cloned());
    match worked(
        "create-token",
        generator.create_token(credentials, &context(bench, Operation::Login)).await,
    )? {
        LoginOutcome::Issued { token, expires_at } => {
            let is_over = expires_at.is_some_and(|end| end <= bench.clock.now());
            ensure(!is_over, || "it has expired already".to_owned())?;
            ensure(!token.reveal().is_empty(), || "it is empty".to_owned())?;
            Ok(token)
        }
        LoginOutcome::Challenge(challenge) => skip(format!("it asks on: {}", challenge.prompt)),
    }
}

async fn check_identity(
    bench: &Workbench,
    binding: &IdentityBinding,
    token: Option<&SecretBytes>,
    report: &mut Report,
) -> Option<FederationUser> {
    let identity = &*binding.identity;
    report.note(
        IDENTITY,
        "a token that nobody issued is unauthenticated",
        forged_user(identity, token).await,
    );
    let user = match token {
        Some(token) => one_user(bench, identity, token).await,
        None => skip("there is no token to read"),
    };
    report.note(IDENTITY, "a token speaks of one user, of an issuer that the site lists", user)
}

/// Forged tokens, and the genuine one with its end turned.
fn forged(token: Option<&SecretBytes>) -> Vec<SecretBytes> {
    let mut all: Vec<SecretBytes> = FORGED.iter().map(|text| SecretBytes::new(*text)).collect();
    if let Some(token) = token {
        let mut changed = token.reveal().to_vec();
        if let Some(letter) = changed.iter_mut().rev().nth(3) {
            *letter = if *letter == b'A' { b'B' } else { b'A' };
        }
        all.push(SecretBytes::new(changed));
    }
    all
}

async fn forged_user(identity: &dyn FederationIdentity, token: Option<&SecretBytes>) -> Tested {
    for forged in forged(token) {
        match answered("get-federation-user", identity.get_federation_user(&forged).await)? {
            Err(error)
                if matches!(
                    error.kind,
                    ErrorKind::Unauthenticated | ErrorKind::Invalid | ErrorKind::Transient
                ) => {}
            Err(error) => return fail(format!("it is {} ({error})", error.kind)),
            Ok(user) => return fail(format!("it was taken for {:?}", user.subject)),
        }
    }
    Ok(())
}

async fn one_user(
    bench: &Workbench,
    identity: &dyn FederationIdentity,
    token: &SecretBytes,
) -> Tested<FederationUser> {
    let user = worked("get-federation-user", identity.get_federation_user(token).await)?;
    let again = worked("get-federation-user again", identity.get_federation_user(token).await)?;
    ensure(user == again, || format!("{user:?}, then {again:?}"))?;
    ensure(user.issuer == bench.case.user.issuer, || {
        format!("its issuer is {:?}; the case's user.issuer says which the site lists", user.issuer)
    })?;
    Ok(user)
}

async fn check_authentication(
    bench: &Workbench,
    plugin: &dyn Authentication,
    token: Option<&SecretBytes>,
    user: Option<FederationUser>,
    report: &mut Report,
) {
    let known = user.clone().unwrap_or_else(|| bench.case.user());
    report.note(
        AUTHENTICATION,
        "a token that nobody issued is not authentic",
        refuses(bench, plugin, &known, forged(token)).await,
    );
    let genuine = match (token, user) {
        (Some(token), Some(user)) => genuine(bench, plugin, token, &user).await,
        _ => skip("there is no user with a token"),
    };
    let genuine =
        report.note(AUTHENTICATION, "a user is authentic with the token that speaks of it", genuine);
    let other = match (genuine, token) {
        (Some(()), Some(token)) => {
            let other = FederationUser { subject: "somebody-else".to_owned(), ..known };
            refuses(bench, plugin, &other, vec![token.clone()]).await
        }
        _ => skip("there is no user with a token"),
    };
    report.note(AUTHENTICATION, "nobody else is", other);
}

async fn genuine(
    bench: &Workbench,
    plugin: &dyn Authentication,
    token: &SecretBytes,
    user: &FederationUser,
) -> Tested {
    match worked("is-authentic", plugin.is_authentic(user, token, &context(bench, Operation::Read)).await)? {
        Verdict::Authentic { until } => ensure(until.is_none_or(|until| until > bench.clock.now()), || {
            "its validity is over already".to_owned()
        }),
        Verdict::NotAuthentic { reason } => fail(reason),
    }
}

async fn refuses(
    bench: &Workbench,
    plugin: &dyn Authentication,
    user: &FederationUser,
    tokens: Vec<SecretBytes>,
) -> Tested {
    for token in tokens {
        let answer = plugin.is_authentic(user, &token, &context(bench, Operation::Read)).await;
        if let Ok(Verdict::Authentic { .. }) = answered("is-authentic", answer)? {
            return fail(format!("{:?} was taken for genuine", user.subject));
        }
    }
    Ok(())
}
