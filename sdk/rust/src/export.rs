//! `export!`: which interfaces a type implements, and the plugin's manifest.
//!
//! A macro cannot ask which traits a type implements, so the author names them; and a component exports what is
//! named here and nothing else.

/// Makes a component of a type that implements the named interfaces. Once per crate.
///
/// ```
/// use archipel_sdk::prelude::*;
///
/// struct Everyone;
///
/// impl Authorization for Everyone {
///     fn is_authorized(_: &FederationUser, _: &Resource, _: &Context) -> Result<Decision> {
///         Ok(Decision::allow(Reach::Own))
///     }
/// }
///
/// archipel_sdk::export!(Everyone: Authorization);
/// # fn main() {}
/// ```
///
/// The names are `TokenGenerator`, `FederationIdentity`, `Authentication`, `Authorization`, `Mapper`, `Compute`,
/// `ComputePower`, `Volume`, `Network`, `Attachment`, `Quota`, `Spec`, `Image`, `Scenario` and `Lifecycle`. `Scenario` stands alone.
///
/// The manifest is a block of JSON. Name and version are the package's; the rest says what the plugin needs from the
/// host and why (an administrator reads the reasons before granting), which configuration it takes (JSON Schema), and
/// for a driver how each kind is created:
///
/// ```
/// # use archipel_sdk::prelude::*;
/// # struct MyCloud;
/// # impl Driver<Compute> for MyCloud {
/// #     fn request_instance(_: &CreateContext, _: &LocalToken) -> Result<Created> { Ok(Created::new("i")) }
/// #     fn get_instance(_: Known<'_>, _: &LocalToken) -> Result<Observed> { Ok(Observed::Gone) }
/// #     fn delete_instance(_: Known<'_>, _: &LocalToken) -> Result<()> { Ok(()) }
/// #     fn list_instances(_: &LocalToken, _: Option<&str>) -> Result<Page> { Ok(Page { items: vec![], next: None }) }
/// # }
/// archipel_sdk::export! {
///     MyCloud: Compute;
///     manifest = {
///         "capabilities": {
///             "hosts": [{ "config": "/api_url", "reason": "the cloud's API" }],
///             "secrets": [{ "name": "east-password", "reason": "logs in to the API" }],
///             "storage": { "bytes": 1048576, "reason": "remembers image ids" },
///         },
///         "config_schema": {
///             "type": "object",
///             "properties": { "api_url": { "type": "string", "format": "uri" } },
///             "required": ["api_url"],
///             "additionalProperties": false,
///         },
///         "drivers": { "compute": { "create": "searchable", "settle_ms": 5000, "actions": [] } },
///     }
/// }
/// # fn main() {}
/// ```
///
/// A long schema can stay in a file beside the source: `manifest = { ... }; config_schema = "config.schema.json"`.
///
/// It is checked while compiling: text that is no JSON, a driver whose kind has no entry under `drivers`, or a
/// `ComputePower` without `actions` there, is a compile error. A unit test that `export!` adds to the crate checks the rest.
#[macro_export]
macro_rules! export {
    ($plugin:ident : $($interface:ident),+ $(,)?) => {
        $crate::export! { $plugin: $($interface),+; manifest = {} }
    };
    (
        $plugin:ident : $($interface:ident),+ $(,)? ;
        manifest = { $($manifest:tt)* } $(; config_schema = $schema:literal)? $(;)?
    ) => {
        $($crate::__export_interface!($interface $plugin);)+
        #[doc(hidden)]
        #[allow(unsafe_code, reason = "a named section of the component")]
        mod __archipel_manifest {
            const SOURCE: &str = ::std::concat!(
                "{\"name\":\"", ::std::env!("CARGO_PKG_NAME"),
                "\",\"version\":\"", ::std::env!("CARGO_PKG_VERSION"),
                "\",\"sdk\":\"", $crate::__sdk!(),
                "\",\"wit\":\"0.1.0\",\"interfaces\":[",
                $("\"", $crate::__interface_name!($interface), "\",",)+
                "],", $("\"config_schema\":", ::std::include_str!($schema), ",",)?
                ::std::stringify!($($manifest)*), "}",
            );
            const NORMALISED: ([u8; SOURCE.len()], usize) = $crate::manifest::normalise(SOURCE);
            #[used]
            #[cfg_attr(target_arch = "wasm32", unsafe(link_section = "archipel:manifest"))]
            static MANIFEST: [u8; NORMALISED.1] = $crate::manifest::truncate(&NORMALISED.0);
            $($crate::__check_interface!($interface &NORMALISED.0);)+

            #[cfg(test)]
            #[test]
            fn the_manifest_is_what_the_host_expects() {
                ::std::assert_eq!($crate::manifest::check(&MANIFEST), ::std::result::Result::Ok(()));
            }
        }
    };
}

/// Name and version of this crate, as the manifest carries them.
#[doc(hidden)]
#[macro_export]
macro_rules! __sdk {
    () => {
        "archipel-sdk 0.1.0"
    };
}

/// Interface of a word of `export!`, as the manifest carries it.
#[doc(hidden)]
#[macro_export]
#[rustfmt::skip]
macro_rules! __interface_name {
    (TokenGenerator) => { "archipel:aaa/token-generator@0.1.0" };
    (FederationIdentity) => { "archipel:aaa/federation-identity@0.1.0" };
    (Authentication) => { "archipel:aaa/authentication@0.1.0" };
    (Authorization) => { "archipel:aaa/authorization@0.1.0" };
    (Mapper) => { "archipel:aaa/federation-to-local-mapper@0.1.0" };
    (Compute) => { "archipel:cloud/compute@0.1.0" };
    (ComputePower) => { "archipel:cloud/compute-power@0.1.0" };
    (Volume) => { "archipel:cloud/volume@0.1.0" };
    (Network) => { "archipel:cloud/network@0.1.0" };
    (Attachment) => { "archipel:cloud/attachment@0.1.0" };
    (Quota) => { "archipel:cloud/quota@0.1.0" };
    (Spec) => { "archipel:cloud/spec@0.1.0" };
    (Image) => { "archipel:cloud/image@0.1.0" };
    (Scenario) => { "archipel:benchmark/scenario@0.1.0" };
    (Lifecycle) => { "archipel:plugin/lifecycle@0.1.0" };
}

/// The exported functions of one interface.
#[doc(hidden)]
#[macro_export]
#[rustfmt::skip]
macro_rules! __export_interface {
    (TokenGenerator $t:ident) => { $crate::__export_world!($t token_generator export_token_generator $crate::aaa::TokenGenerator); };
    (FederationIdentity $t:ident) => { $crate::__export_world!($t federation_identity export_federation_identity $crate::aaa::FederationIdentity); };
    (Authentication $t:ident) => { $crate::__export_world!($t authentication export_authentication $crate::aaa::Authentication); };
    (Authorization $t:ident) => { $crate::__export_world!($t authorization export_authorization $crate::aaa::Authorization); };
    (Mapper $t:ident) => { $crate::__export_world!($t mapper export_mapper $crate::aaa::Mapper); };
    (Compute $t:ident) => { $crate::__export_world!($t compute export_compute $crate::cloud::Driver<$crate::cloud::Compute>); };
    (ComputePower $t:ident) => { $crate::__export_world!($t compute_power export_compute_power $crate::cloud::ComputePower); };
    (Volume $t:ident) => { $crate::__export_world!($t volume export_volume $crate::cloud::Driver<$crate::cloud::Volume>); };
    (Network $t:ident) => { $crate::__export_world!($t network export_network $crate::cloud::Driver<$crate::cloud::Network>); };
    (Attachment $t:ident) => { $crate::__export_world!($t attachment export_attachment $crate::cloud::Driver<$crate::cloud::Attachment>); };
    (Quota $t:ident) => { $crate::__export_world!($t quota export_quota $crate::cloud::Quota); };
    (Spec $t:ident) => { $crate::__export_world!($t spec export_spec $crate::cloud::Spec); };
    (Image $t:ident) => { $crate::__export_world!($t image export_image $crate::cloud::Image); };
    (Scenario $t:ident) => { $crate::__export_world!($t scenario export_scenario $crate::benchmark::Scenario); };
    (Lifecycle $t:ident) => { $crate::__export_world!($t lifecycle export_lifecycle $crate::lifecycle::Lifecycle); };
    ($other:ident $t:ident) => {
        ::std::compile_error!(::std::concat!(
            "unknown interface `", ::std::stringify!($other), "`: TokenGenerator, FederationIdentity, Authentication, ",
            "Authorization, Mapper, Compute, ComputePower, Volume, Network, Attachment, Quota, Spec, Image, Scenario or Lifecycle",
        ));
    };
}

/// The exported functions of one world. A native build has no use for them (their names are none for its linker);
/// there only the trait is asked for, so that what fails in the sandbox's build fails in `cargo test` too.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_world {
    ($plugin:ident $module:ident $export:ident $bound:path) => {
        const _: () = {
            const fn implements<T: $bound>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, unused_unsafe, reason = "generated by wit-bindgen")]
        #[allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated by wit-bindgen")]
        const _: () = {
    $crate::bindings::$module::$export!($plugin with_types_in $crate::bindings::$module);
        };
    };
}

/// What the manifest must say for one interface.
#[doc(hidden)]
#[macro_export]
macro_rules! __check_interface {
    (Compute $json:expr) => { $crate::__check_driver!("compute" $json); };
    (ComputePower $json:expr) => {
        const _: () = ::std::assert!(
            $crate::manifest::states_actions($json),
            "{}",
            "the manifest names no power action: write \"drivers\": {\"compute\": {\"create\": ..., \"actions\": [\"stop\", \"start\"]}}",
        );
    };
    (Volume $json:expr) => { $crate::__check_driver!("volume" $json); };
    (Network $json:expr) => { $crate::__check_driver!("network" $json); };
    (Attachment $json:expr) => { $crate::__check_driver!("attachment" $json); };
    ($other:ident $json:expr) => {};
}

/// A driver says how its kind is created.
#[doc(hidden)]
#[macro_export]
macro_rules! __check_driver {
    ($kind:literal $json:expr) => {
        const _: () = ::std::assert!(
            $crate::manifest::states_driver($json, $kind),
            "{}",
            ::std::concat!(
                "the manifest lacks drivers.",
                $kind,
                ": write \"drivers\": {\"",
                $kind,
                "\": {\"create\": \"searchable\", \"settle_ms\": 5000}}",
            ),
        );
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_manifest_names_the_versions_of_this_crate_and_of_the_contract() {
        assert_eq!(__sdk!(), concat!("archipel-sdk ", env!("CARGO_PKG_VERSION")));
        let contract = format!("@{}", crate::manifest::WIT_VERSION);
        assert!(__interface_name!(Compute).ends_with(&contract));
    }
}
