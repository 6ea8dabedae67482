//! Reads the skeleton of a dropped file, before any validator sees it: checking is itself a target. An 8 MB nest of
//! components once kept a validator busy for minutes and took 6 GiB.
//!
//! One pass, no recursion, no allocation that grows with a number inside the file: sections are counted and skipped;
//! only names of the outermost imports and exports and the manifest are kept. Every count is bounded by a limit of
//! [`RuntimeLimits`]. Types are not looked at here but for their length: what is in them is for the validator, which
//! runs after this and in the same bounded process.

use serde::{Deserialize, Serialize};
use wasmparser::{Chunk, Encoding, Parser, Payload, SectionLimited};

use crate::limits::{RuntimeLimits, to_usize};
use crate::manifest;
use crate::refusal::Refusal;

/// What one pass finds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// Names of the outermost imports.
    pub imports: Vec<String>,
    /// Names of the outermost exports.
    pub exports: Vec<String>,
    /// The manifest's bytes; more than one only where they differ.
    #[serde(skip)]
    pub manifests: Vec<Vec<u8>>,
    /// Core modules inside.
    pub modules: u64,
    /// Functions inside.
    pub functions: u64,
}

struct Pass<'l> {
    limits: &'l RuntimeLimits,
    found: Scan,
    depth: u64,
    components: u64,
    memories: u64,
    tables: u64,
    items: u64,
    types: u64,
    outer_manifest: bool,
}

/// Scans the bytes of a file.
///
/// # Errors
/// The first thing that keeps them from being a plugin.
pub(crate) fn scan(bytes: &[u8], limits: &RuntimeLimits) -> Result<Scan, Refusal> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > limits.file_mib.saturating_mul(1 << 20) {
        return Err(Refusal::TooLarge { size, limit_mib: limits.file_mib });
    }
    recognise(bytes)?;
    let mut pass = Pass {
        limits,
        found: Scan::default(),
        depth: 0,
        components: 0,
        memories: 0,
        tables: 0,
        items: 0,
        types: 0,
        outer_manifest: false,
    };
    let mut rest = bytes;
    let mut stack: Vec<Parser> = Vec::new();
    let mut parser = Parser::new(0);
    loop {
        // Nothing can follow: where something is still expected, that is an error and not a wait.
        let at_end = rest.is_empty();
        let chunk = parser.parse(rest, at_end).map_err(|error| malformed(&error))?;
        let (payload, consumed) = match chunk {
            Chunk::NeedMoreData(_) => return Err(Refusal::Truncated(size)),
            Chunk::Parsed { consumed, payload } => (payload, consumed),
        };
        rest = rest.get(consumed..).unwrap_or_default();
        match &payload {
            Payload::ModuleSection { parser: inner, .. }
            | Payload::ComponentSection { parser: inner, .. } => {
                pass.depth += 1;
                pass.bound("levels of nesting", pass.depth, "nesting", limits.nesting)?;
                stack.push(std::mem::replace(&mut parser, inner.clone()));
            }
            Payload::End(_) => match stack.pop() {
                Some(outer) => {
                    pass.depth -= 1;
                    parser = outer;
                }
                None => return Ok(pass.found),
            },
            _ => {}
        }
        pass.take(&payload)?;
    }
}

/// Tells apart what people drop by mistake.
fn recognise(bytes: &[u8]) -> Result<(), Refusal> {
    const WASM: &[u8] = b"\0asm";
    const LAYER_CORE: &[u8] = &[1, 0, 0, 0];
    if bytes.is_empty() {
        return Err(Refusal::Empty);
    }
    if bytes.starts_with(b"\x7fELF") {
        return Err(Refusal::Precompiled);
    }
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|byte| *byte == b'(' || *byte == b';') && std::str::from_utf8(bytes).is_ok() {
        return Err(Refusal::Text);
    }
    let Some((magic, layer)) = bytes.split_at_checked(4) else {
        return Err(if WASM.starts_with(bytes) { Refusal::Truncated(4) } else { Refusal::NotWasm });
    };
    if magic != WASM {
        return Err(Refusal::NotWasm);
    }
    if layer.starts_with(LAYER_CORE) { Err(Refusal::CoreModule) } else { Ok(()) }
}

fn malformed(error: &wasmparser::BinaryReaderError) -> Refusal {
    let offset = u64::try_from(error.offset()).unwrap_or(u64::MAX);
    let message: String = error.message().chars().filter(|c| !c.is_control()).take(200).collect();
    if message.contains("unexpected end") {
        Refusal::Truncated(offset)
    } else {
        Refusal::Malformed { offset, message }
    }
}

impl Pass<'_> {
    fn bound(
        &self,
        what: &'static str,
        count: u64,
        limit: &'static str,
        allowed: u64,
    ) -> Result<(), Refusal> {
        if count > allowed {
            Err(Refusal::Exceeds { what: what.into(), count, limit: limit.into(), allowed })
        } else {
            Ok(())
        }
    }

    fn take(&mut self, payload: &Payload<'_>) -> Result<(), Refusal> {
        let limits = self.limits;
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => {
                self.found.modules += 1;
                self.bound("core modules", self.found.modules, "modules", limits.modules)
            }
            Payload::Version { encoding: Encoding::Component, .. } => {
                self.components += 1;
                self.bound("components", self.components, "components", limits.components)
            }
            Payload::FunctionSection(section) => {
                self.found.functions = self.found.functions.saturating_add(u64::from(section.count()));
                self.bound("functions", self.found.functions, "functions", limits.functions)
            }
            Payload::CodeSectionEntry(body) => {
                let kib = u64::try_from(body.range().len()).unwrap_or(u64::MAX) >> 10;
                self.bound("KiB in one function", kib, "body_kib", limits.body_kib)
            }
            Payload::MemorySection(section) => {
                self.memories = self.memories.saturating_add(u64::from(section.count()));
                self.bound("memories", self.memories, "memories", limits.memories)?;
                for memory in section.clone() {
                    let memory = memory.map_err(|error| malformed(&error))?;
                    let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
                    let mib = memory.initial.saturating_mul(page).div_ceil(1 << 20);
                    self.bound("MiB of memory to start with", mib, "memory_mib", limits.memory_mib)?;
                }
                Ok(())
            }
            Payload::TableSection(section) => {
                self.tables = self.tables.saturating_add(u64::from(section.count()));
                self.bound("tables", self.tables, "tables", limits.tables)?;
                for table in section.clone() {
                    let elements = table.map_err(|error| malformed(&error))?.ty.initial;
                    self.bound(
                        "elements of a table to start with",
                        elements,
                        "table_elements",
                        limits.table_elements,
                    )?;
                }
                Ok(())
            }
            Payload::CustomSection(section) => self.custom(section.name(), section.data()),
            Payload::ComponentImportSection(section) => {
                self.count(section.count())?;
                if self.depth > 0 {
                    return Ok(());
                }
                for import in section.clone() {
                    self.found.imports.push(name(import.map_err(|error| malformed(&error))?.name.name));
                }
                Ok(())
            }
            Payload::ComponentExportSection(section) => {
                self.count(section.count())?;
                if self.depth > 0 {
                    return Ok(());
                }
                for export in section.clone() {
                    self.found.exports.push(name(export.map_err(|error| malformed(&error))?.name.name));
                }
                Ok(())
            }
            Payload::TypeSection(section) => self.types(section),
            Payload::ImportSection(section) => self.section(section),
            Payload::TagSection(section) => self.section(section),
            Payload::GlobalSection(section) => self.section(section),
            Payload::ExportSection(section) => self.section(section),
            Payload::ElementSection(section) => self.section(section),
            Payload::DataSection(section) => self.section(section),
            Payload::InstanceSection(section) => self.section(section),
            Payload::CoreTypeSection(section) => self.types(section),
            Payload::ComponentInstanceSection(section) => self.section(section),
            Payload::ComponentAliasSection(section) => self.section(section),
            Payload::ComponentTypeSection(section) => self.types(section),
            Payload::ComponentCanonicalSection(section) => self.section(section),
            Payload::UnknownSection { id, range, .. } => Err(Refusal::Malformed {
                offset: u64::try_from(range.start).unwrap_or(u64::MAX),
                message: format!("unknown section {id}"),
            }),
            _ => Ok(()),
        }
    }

    fn section<T>(&mut self, section: &SectionLimited<'_, T>) -> Result<(), Refusal> {
        self.count(section.count())
    }

    fn types<T>(&mut self, section: &SectionLimited<'_, T>) -> Result<(), Refusal> {
        let bytes = u64::try_from(section.range().len()).unwrap_or(u64::MAX);
        self.types = self.types.saturating_add(bytes);
        let kib = self.types.div_ceil(1 << 10);
        self.bound("KiB of types", kib, "types_kib", self.limits.types_kib)?;
        self.count(section.count())
    }

    fn count(&mut self, count: u32) -> Result<(), Refusal> {
        self.items = self.items.saturating_add(u64::from(count));
        self.bound("entries of sections", self.items, "items", self.limits.items)
    }

    fn custom(&mut self, name: &str, data: &[u8]) -> Result<(), Refusal> {
        let is_manifest = name == manifest::SECTION;
        let (what, limit, allowed) = if is_manifest {
            ("KiB of manifest", "manifest_kib", self.limits.manifest_kib)
        } else {
            ("KiB in a custom section", "custom_section_kib", self.limits.custom_section_kib)
        };
        if data.len() > to_usize(allowed << 10) {
            let count = u64::try_from(data.len()).unwrap_or(u64::MAX) >> 10;
            return self.bound(what, count.max(allowed.saturating_add(1)), limit, allowed);
        }
        if !is_manifest {
            return Ok(());
        }
        // The component's own section wins over those that the linker left in its modules.
        let outer = self.depth == 0;
        if outer && !self.outer_manifest {
            self.found.manifests.clear();
            self.outer_manifest = true;
        }
        if outer == self.outer_manifest && !self.found.manifests.iter().any(|known| known == data) {
            self.bound(
                "manifests",
                u64::try_from(self.found.manifests.len()).unwrap_or(u64::MAX),
                "modules",
                8,
            )?;
            self.found.manifests.push(data.to_vec());
        }
        Ok(())
    }
}

fn name(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> Refusal {
        scan(bytes, &RuntimeLimits::default()).unwrap_err()
    }

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn what_people_drop_by_mistake_is_named() {
        assert_eq!(refused(b""), Refusal::Empty);
        assert_eq!(refused(b"(component)"), Refusal::Text);
        assert_eq!(refused(b"\n  ;; text\n(component)"), Refusal::Text);
        assert_eq!(refused(b"\x7fELF\x02\x01"), Refusal::Precompiled);
        assert_eq!(refused(b"PK\x03\x04 a zip"), Refusal::NotWasm);
        assert_eq!(refused(b"\0as"), Refusal::Truncated(4));
        assert_eq!(refused(&component("(module)")), Refusal::CoreModule);
    }

    #[test]
    fn a_file_cut_anywhere_inside_is_refused_and_never_panics() {
        let whole = component(
            r#"(component (core module (memory 1) (func (export "f") unreachable)) (component (type string)) (@custom "archipel:manifest" "{}"))"#,
        );
        assert!(scan(&whole, &RuntimeLimits::default()).is_ok());
        for cut in 1..whole.len() {
            let _ = scan(&whole[..cut], &RuntimeLimits::default());
        }
        assert!(matches!(refused(&whole[..whole.len() - 1]), Refusal::Truncated(_)));
        assert!(matches!(refused(&whole[..20]), Refusal::Truncated(_)));
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let whole =
            component(r#"(component (import "wasi:io/error@0.2.0" (instance)) (core module (memory 1)))"#);
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let _ = scan(&bytes, &RuntimeLimits::default());
            }
        }
    }

    #[test]
    fn nests_and_crowds_are_bounded() {
        let nested =
            |levels: usize| component(&format!("{}{}", "(component ".repeat(levels), ")".repeat(levels)));
        assert!(scan(&nested(9), &RuntimeLimits::default()).is_ok());
        assert!(matches!(refused(&nested(10)), Refusal::Exceeds { limit, .. } if limit == "nesting"));
        let crowd = component(&format!("(component {})", "(core module)".repeat(65)));
        assert_eq!(
            refused(&crowd),
            Refusal::Exceeds { what: "core modules".into(), count: 65, limit: "modules".into(), allowed: 64 }
        );
        let small = RuntimeLimits { file_mib: 0, ..RuntimeLimits::default() };
        assert!(matches!(scan(&nested(1), &small), Err(Refusal::TooLarge { limit_mib: 0, .. })));
    }

    #[test]
    fn what_is_declared_is_bounded_before_anything_is_made_of_it() {
        let declared = |module: &str| refused(&component(&format!("(component (core module {module}))")));
        assert_eq!(
            declared("(memory 1025)").to_string(),
            "65 MiB of memory to start with are more than limits.plugins.memory_mib = 64 allows; make the plugin smaller, or raise the limit"
        );
        assert!(
            matches!(declared("(table 20001 funcref)"), Refusal::Exceeds { limit, .. } if limit == "table_elements")
        );
        let fits = component("(component (core module (memory 1024) (table 20000 funcref)))");
        assert!(scan(&fits, &RuntimeLimits::default()).is_ok());
        let fields: String = (0..400).map(|n| format!("(field \"number-{n}\" u8)")).collect();
        let wide = component(&format!("(component (type (record {fields})))"));
        let small = RuntimeLimits { types_kib: 4, ..RuntimeLimits::default() };
        assert!(matches!(scan(&wide, &small), Err(Refusal::Exceeds { limit, .. }) if limit == "types_kib"));
    }

    #[test]
    fn the_outer_manifest_wins_over_those_of_modules() {
        let both = component(
            r#"(component (core module (@custom "archipel:manifest" "in")) (core module (@custom "archipel:manifest" "in2")) (@custom "archipel:manifest" "out"))"#,
        );
        assert_eq!(scan(&both, &RuntimeLimits::default()).unwrap().manifests, [b"out".to_vec()]);
        let inner = component(
            r#"(component (core module (@custom "archipel:manifest" "in")) (core module (@custom "archipel:manifest" "in")))"#,
        );
        assert_eq!(scan(&inner, &RuntimeLimits::default()).unwrap().manifests, [b"in".to_vec()]);
    }

    #[test]
    fn names_of_imports_and_exports_are_found() {
        let bytes = component(
            r#"(component (import "wasi:io/error@0.2.0" (instance $i)) (export "archipel:x/y@1.0.0" (instance $i)))"#,
        );
        let found = scan(&bytes, &RuntimeLimits::default()).unwrap();
        assert_eq!(
            (found.imports, found.exports),
            (vec!["wasi:io/error@0.2.0".into()], vec!["archipel:x/y@1.0.0".into()])
        );
    }
}
