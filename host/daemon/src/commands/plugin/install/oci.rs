//! A component in an OCI registry, as the tools of wasm-pkg put it there: an image manifest with the configuration
//! `application/vnd.wasm.config.v0+json` and one layer `application/wasm`. Its signature, if it has one, refers to that
//! manifest (OCI 1.1 referrers, or their tag in registries that have none), so that other clients of the component are not
//! disturbed: `oras attach --artifact-type application/vnd.archipel.signature.minisign REF NAME.wasm.minisig`.
//!
//! What was read has the digest that the manifest says, and the manifest the one that the reference says, if it says one.
//! Who made it is for the signature to say: a registry is not trusted with that.

use std::path::Path;
use std::time::Duration;

use archipel_egress::causes;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

use super::{Fetched, SIGNATURE_BYTES, plugin_name};
use crate::output::Failure;

const COMPONENT: &str = "application/wasm";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// What kind of artefact a signature is.
const SIGNATURE: &str = "application/vnd.archipel.signature.minisign";

/// Who asks, where the registry wants to know.
const USER: &str = "ARCHIPEL_REGISTRY_USER";
const PASSWORD: &str = "ARCHIPEL_REGISTRY_PASSWORD";

/// Files of authorities that a registry's certificate may come from, besides those of the machine.
#[derive(Clone, Copy)]
pub(super) struct Authorities<'a> {
    /// On the command line.
    pub(super) given: Option<&'a Path>,
    /// In the site file, for all that leaves.
    pub(super) of_the_site: Option<&'a Path>,
}

/// Fetches `HOST/REPOSITORY:TAG` or `HOST/REPOSITORY@DIGEST`.
pub(super) async fn fetch(
    reference: &str,
    most: u64,
    authorities: Authorities<'_>,
) -> Result<Fetched, Failure> {
    let image: Reference = reference.parse().map_err(|error| {
        Failure::environment(format!("oci://{reference}: {error}; write oci://HOST/REPOSITORY:TAG"))
    })?;
    let failed =
        |error: OciDistributionError| Failure::environment(format!("oci://{reference}: {}", causes(&error)));
    // The one provider of this program; that there is one already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = authorities.given.or(authorities.of_the_site).map(archipel_egress::tls::authorities);
    let roots = roots.transpose().map_err(Failure::environment)?.unwrap_or_default();
    let client = Client::new(ClientConfig {
        protocol: protocol(&image, authorities.given.is_some()),
        extra_root_certificates: roots
            .into_iter()
            .map(|data| Certificate { encoding: CertificateEncoding::Der, data })
            .collect(),
        connect_timeout: Some(Duration::from_secs(10)),
        read_timeout: Some(Duration::from_secs(60)),
        user_agent: concat!("archipel/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    });
    let auth = match (std::env::var(USER), std::env::var(PASSWORD)) {
        (Ok(user), Ok(password)) => RegistryAuth::Basic(user, password),
        _ => RegistryAuth::Anonymous,
    };
    let (manifest, digest) = client.pull_image_manifest(&image, &auth).await.map_err(failed)?;
    let (config, layers) = (&manifest.config.media_type, manifest.layers.as_slice());
    let [layer] = layers else {
        return Err(Failure::environment(format!(
            "oci://{reference} has {} layers; a component has one, of type {COMPONENT}",
            layers.len()
        )));
    };
    if layer.media_type != COMPONENT || config != CONFIG {
        return Err(Failure::environment(format!(
            "oci://{reference} is {} with the configuration {config}; a component is {COMPONENT} with {CONFIG}",
            layer.media_type
        )));
    }
    let component = blob(&client, &image, layer, most).await?;
    let signature = signature(&client, &image.clone_with_digest(digest), &auth).await?;
    let name = image.repository().rsplit('/').next().map(plugin_name);
    Ok(Fetched { name, component, signature })
}

/// The first signature that refers to a manifest.
async fn signature(
    client: &Client,
    image: &Reference,
    auth: &RegistryAuth,
) -> Result<Option<String>, Failure> {
    let failed = |error: OciDistributionError| {
        Failure::environment(format!("the signatures of oci://{image}: {}", causes(&error)))
    };
    let index = client.pull_referrers(image, Some(SIGNATURE)).await.map_err(failed)?;
    let Some(entry) = index.manifests.first() else { return Ok(None) };
    let referrer = image.clone_with_digest(entry.digest.clone());
    let (manifest, _) = client.pull_image_manifest(&referrer, auth).await.map_err(failed)?;
    let Some(layer) = manifest.layers.first() else { return Ok(None) };
    let bytes = blob(client, image, layer, SIGNATURE_BYTES).await?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| Failure::environment(format!("the signature of oci://{image} is no text")))
}

/// A blob of at most so many bytes, with the digest that it should have.
async fn blob(
    client: &Client,
    image: &Reference,
    layer: &OciDescriptor,
    most: u64,
) -> Result<Vec<u8>, Failure> {
    let size = u64::try_from(layer.size).unwrap_or(u64::MAX);
    if size > most {
        return Err(Failure::environment(format!("oci://{image}: {size} bytes are more than {most}")));
    }
    let mut bytes = Bounded { bytes: Vec::new(), most };
    client
        .pull_blob(image, layer, &mut bytes)
        .await
        .map_err(|error| Failure::environment(format!("oci://{image}: {}", causes(&error))))?;
    Ok(bytes.bytes)
}

/// A registry on this machine speaks plain HTTP, as other clients have it too, but where its authority is named; every other
/// one speaks TLS.
fn protocol(image: &Reference, is_vouched_for: bool) -> ClientProtocol {
    let registry = image.resolve_registry();
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let is_here = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if is_here && !is_vouched_for { ClientProtocol::Http } else { ClientProtocol::Https }
}

/// Takes what it is given, up to a bound: a registry may send more than it said.
struct Bounded {
    bytes: Vec<u8>,
    most: u64,
}

impl tokio::io::AsyncWrite for Bounded {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        part: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let after = self.bytes.len().saturating_add(part.len());
        if u64::try_from(after).unwrap_or(u64::MAX) > self.most {
            return std::task::Poll::Ready(Err(std::io::Error::other(
                "the registry sends more than it said",
            )));
        }
        self.bytes.extend_from_slice(part);
        std::task::Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_registry_on_this_machine_is_asked_without_tls() {
        for (reference, plain) in [
            ("127.0.0.1:5000/a:1", true),
            ("localhost:5000/a:1", true),
            ("registry.example.org/a:1", false),
            ("127.0.0.1.example.org/a:1", false),
            ("10.0.0.1:5000/a:1", false),
        ] {
            let image = reference.parse().unwrap();
            assert_eq!(matches!(protocol(&image, false), ClientProtocol::Http), plain, "{reference}");
            assert!(matches!(protocol(&image, true), ClientProtocol::Https), "{reference}");
        }
    }
}
