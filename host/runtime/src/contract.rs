//! A component's world beside ours, down to the record field and the enum case, in words.
//!
//! Wasmtime compares types too, when it links and loads; but it stops at the first that differs and says little. Here all
//! differences are found, before anything is compiled, and every version of the contract that this host speaks is tried.
//! It runs in the compile process: what it reads is foreign.

mod types;

use std::fmt;

use serde::{Deserialize, Serialize};
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{InterfaceId, Resolve, UnresolvedPackageGroup, WorldItem};

use types::Comparison;

/// The packages of one version, as the SDK binds to them: the one with the worlds first.
struct Contract {
    version: &'static str,
    packages: &'static [(&'static str, &'static str)],
}

macro_rules! wit {
    ($($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../../wit/", $file)))),+]
    };
}

/// Every version that this host speaks, the newest first.
const CONTRACTS: [Contract; 1] = [Contract {
    version: "0.1.0",
    packages: wit![
        "plugin.wit",
        "deps/archipel-host/host.wit",
        "deps/archipel-aaa/aaa.wit",
        "deps/archipel-cloud/cloud.wit",
        "deps/archipel-benchmark/benchmark.wit",
        "deps/wasi-io/io.wit",
        "deps/wasi-clocks/clocks.wit",
        "deps/wasi-random/random.wit",
        "deps/wasi-cli/cli.wit",
        "deps/wasi-filesystem/filesystem.wit",
        "deps/wasi-sockets/sockets.wit",
        "deps/wasi-http/http.wit",
    ],
}];

/// How a component and one version of the contract fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fit {
    /// The version.
    pub version: String,
    /// What differs; empty = it fits.
    pub differences: Vec<Difference>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The interface, e.g. `archipel:aaa/authorization`.
    pub interface: String,
    /// The function by which it is reached; none where the interface itself is the difference.
    pub function: Option<String>,
    /// What differs, down to the field.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => write!(f, "{}.{function}: {}", self.interface, self.what),
            None => write!(f, "{}: {}", self.interface, self.what),
        }
    }
}

/// Compares a component with every version, the newest first. `None` where its world cannot be read: the compiler says why.
pub(crate) fn compare(wasm: &[u8]) -> Option<Vec<Fit>> {
    let Ok(DecodedWasm::Component(theirs, world)) = decode(wasm) else { return None };
    let world = theirs.worlds.get(world)?;
    let mut fits = Vec::new();
    for contract in &CONTRACTS {
        let ours = contract.resolve()?;
        let mut found = Vec::new();
        for (items, exports) in [(&world.exports, true), (&world.imports, false)] {
            for item in items.values() {
                if let WorldItem::Interface { id, .. } = item {
                    interface(&theirs, *id, &ours, contract.version, exports, &mut found);
                }
            }
        }
        fits.push(Fit { version: contract.version.to_owned(), differences: found });
    }
    Some(fits)
}

impl Contract {
    fn resolve(&self) -> Option<Resolve> {
        let mut groups =
            self.packages.iter().map(|(path, text)| UnresolvedPackageGroup::parse(path, text).ok());
        let main = groups.next()??;
        let mut resolve = Resolve::default();
        resolve.push_groups(main, groups.collect::<Option<Vec<_>>>()?).ok()?;
        Some(resolve)
    }
}

/// `archipel:aaa/authorization` and the version, of an interface of ours.
fn named(resolve: &Resolve, id: InterfaceId) -> Option<(String, String)> {
    let interface = resolve.interfaces.get(id)?;
    let package = &resolve.packages.get(interface.package?)?.name;
    let version = package.version.as_ref().map(ToString::to_string).unwrap_or_default();
    (package.namespace == "archipel")
        .then_some((format!("archipel:{}/{}", package.name, interface.name.as_ref()?), version))
}

fn interface(
    theirs: &Resolve,
    id: InterfaceId,
    ours: &Resolve,
    speaks: &str,
    exported: bool,
    found: &mut Vec<Difference>,
) {
    let Some((name, version)) = named(theirs, id) else { return };
    let mut differs = |function: Option<&str>, what: String| {
        let function = function.map(str::to_owned);
        found.push(Difference { interface: name.clone(), function, what });
    };
    if version != speaks {
        differs(None, format!("it is of version {version}, and this host speaks {speaks}"));
    }
    let counterpart = ours
        .interfaces
        .iter()
        .find(|(id, _)| named(ours, *id).is_some_and(|(other, of)| other == name && of == speaks));
    let (Some((_, our)), Some(their)) = (counterpart, theirs.interfaces.get(id)) else {
        differs(None, format!("there is no such interface in {speaks}"));
        return;
    };
    let mut types = Comparison::new(theirs, ours);
    // What is exported must have all of ours; what is imported may be part of it.
    for (function, wanted) in &our.functions {
        match their.functions.get(function) {
            Some(has) => {
                types.functions(has, wanted).into_iter().for_each(|what| differs(Some(function), what))
            }
            None if exported => differs(Some(function), "the function is missing".to_owned()),
            None => {}
        }
    }
    if !exported {
        for function in their.functions.keys().filter(|function| !our.functions.contains_key(*function)) {
            differs(Some(function), "the host has no such function".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use wit_parser::abi::{AbiVariant, WasmType};

    use super::*;

    /// What differs in a component whose contract was changed before it was built.
    fn differences(world: &str, change: &dyn Fn(&str, &str) -> String) -> Vec<String> {
        let contract = &CONTRACTS[0];
        let mut resolve = Resolve::default();
        let mut groups = contract.packages.iter().map(|(path, text)| {
            let parsed = UnresolvedPackageGroup::parse(path, &change(path, text));
            parsed.map_err(|(map, error)| error.render(&map)).unwrap()
        });
        let package = resolve.push_groups(groups.next().unwrap(), groups.collect()).unwrap();
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        let mut module = module(&resolve, world);
        let utf8 = wit_component::StringEncoding::UTF8;
        wit_component::embed_component_metadata(&mut module, &resolve, world, utf8).unwrap();
        let component = wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
        let fits = compare(&component).unwrap();
        assert_eq!(fits.len(), CONTRACTS.len());
        fits[0].differences.iter().map(ToString::to_string).collect()
    }

    /// A core module with all functions of a world: its exports trap, its imports are only named.
    fn module(resolve: &Resolve, world: wit_parser::WorldId) -> Vec<u8> {
        let world = &resolve.worlds[world];
        let types = |of: &[WasmType]| {
            let word = |of: &WasmType| match of {
                WasmType::I64 | WasmType::PointerOrI64 => "i64 ",
                WasmType::F32 => "f32 ",
                WasmType::F64 => "f64 ",
                _ => "i32 ",
            };
            of.iter().map(word).collect::<String>()
        };
        let (mut imports, mut exports) = (String::new(), String::new());
        for (items, exported) in [(&world.imports, false), (&world.exports, true)] {
            for item in items.values() {
                let WorldItem::Interface { id, .. } = item else { continue };
                let interface = resolve.id_of(*id).unwrap();
                for function in resolve.interfaces[*id].functions.values() {
                    let variant = if exported { AbiVariant::GuestExport } else { AbiVariant::GuestImport };
                    let signature = resolve.wasm_signature(variant, function);
                    let of = format!(
                        "(param {}) (result {})",
                        types(&signature.params),
                        types(&signature.results)
                    );
                    if exported {
                        exports +=
                            &format!("(func (export \"{interface}#{}\") {of} unreachable)", function.name);
                    } else {
                        imports += &format!("(import \"{interface}\" \"{}\" (func {of}))", function.name);
                    }
                }
            }
        }
        let realloc = "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable)";
        wat::parse_str(format!("(module {imports} {exports} (memory (export \"memory\") 1) {realloc})"))
            .unwrap()
    }

    /// The same for one word of one file.
    fn changed(file: &str, from: &str, to: &str) -> Vec<String> {
        differences("authorization-plugin", &|path, text| {
            if !path.contains(file) {
                return text.to_owned();
            }
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
    }

    #[test]
    fn every_contract_can_be_read() {
        // Without a package that another uses, nothing could be compared, and nobody would be told.
        for contract in &CONTRACTS {
            assert!(contract.resolve().is_some(), "{}", contract.version);
        }
    }

    #[test]
    fn a_component_of_this_contract_fits() {
        for world in ["authorization-plugin", "compute-plugin", "lifecycle-plugin", "host"] {
            assert_eq!(differences(world, &|_, text| text.to_owned()), Vec::<String>::new(), "{world}");
        }
    }

    #[test]
    fn what_differs_is_named_down_to_the_field_and_the_case() {
        let place = "archipel:aaa/authorization.is-authorized: parameter resource";
        assert_eq!(
            changed("aaa.wit", "group-usage: option<usage>", "group-usage: option<string>"),
            [format!(
                "{place}: record resource: field group-usage is option<string>, and option<usage> in the contract"
            )]
        );
        assert_eq!(
            changed("aaa.wit", "    ram-mib: u64,\n", ""),
            [format!("{place}: record usage: field ram-mib is missing")]
        );
        assert_eq!(
            changed("aaa.wit", "    ram-mib: u64,\n", "    ram-mib: u64,\n    swap-mib: u64,\n"),
            [format!("{place}: record usage: field swap-mib is not in the contract")]
        );
        assert_eq!(
            changed(
                "aaa.wit",
                "    issuer: string,\n    /// As in `federation-user`.\n    subject: string,",
                "    subject: string,\n    issuer: string,"
            ),
            [format!("{place}: record owner: its fields are in another order")]
        );
        let reach = changed("aaa.wit", "    %own,\n", "    %own,\n    nobody,\n");
        assert_eq!(
            reach,
            [
                "archipel:aaa/authorization.is-authorized: result: enum reach: case nobody is not in the contract"
            ]
        );
    }

    #[test]
    fn a_function_that_is_missing_and_one_that_the_host_has_not_are_named() {
        assert_eq!(
            changed("aaa.wit", "are-authorized: func", "all-authorized: func"),
            ["archipel:aaa/authorization.are-authorized: the function is missing"]
        );
        assert_eq!(
            changed("host.wit", "get: func() -> string", "get-all: func() -> string"),
            ["archipel:host/config.get-all: the host has no such function"]
        );
    }

    #[test]
    fn another_version_is_told_and_compared_all_the_same() {
        let found = differences("authorization-plugin", &|_, text| {
            let text = text.replace("package archipel:aaa@0.1.0", "package archipel:aaa@0.2.0");
            let names = [
                "token-generator",
                "federation-identity",
                "authentication",
                "authorization",
                "federation-to-local-mapper",
                "types",
            ];
            names.iter().fold(text, |text, name| {
                text.replace(&format!("archipel:aaa/{name}@0.1.0"), &format!("archipel:aaa/{name}@0.2.0"))
            })
        });
        assert!(
            found.contains(
                &"archipel:aaa/authorization: it is of version 0.2.0, and this host speaks 0.1.0".to_owned()
            ),
            "{found:?}"
        );
        assert!(found.iter().all(|what| what.contains("it is of version 0.2.0")), "{found:?}");
    }
}
