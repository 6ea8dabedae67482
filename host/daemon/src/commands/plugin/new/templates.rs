//! The files of each kind of crate. `@@name@@`, `@@crate@@` and `@@sdk@@` are filled in.

use super::PluginKind;

/// Path in the crate, and contents.
type File = (&'static str, &'static str);

macro_rules! crate_of {
    ($folder:literal $(, $more:literal)*) => {
        &[
            ("Cargo.toml", include_str!("../../../../templates/Cargo.toml")),
            (".gitignore", "/target\n"),
            ("README.md", include_str!(concat!("../../../../templates/", $folder, "/README.md"))),
            ("src/lib.rs", include_str!(concat!("../../../../templates/", $folder, "/lib.rs"))),
            ("tests/contract.rs", include_str!(concat!("../../../../templates/", $folder, "/contract.rs"))),
            ("tests/case.json", include_str!(concat!("../../../../templates/", $folder, "/case.json"))),
            $((concat!("tests/", $more), include_str!(concat!("../../../../templates/", $folder, "/", $more))),)*
        ]
    };
}

/// The files of a kind.
pub(super) fn of(kind: PluginKind) -> &'static [File] {
    match kind {
        PluginKind::Authorization => crate_of!("authorization"),
        PluginKind::Identity => crate_of!("identity"),
        PluginKind::Mapper => crate_of!("mapper"),
        PluginKind::Cloud => crate_of!("cloud", "exchanges.json"),
        PluginKind::Benchmark => crate_of!("benchmark"),
    }
}
