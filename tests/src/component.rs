//! Components that no compiler makes, for tests of what the host refuses. The binary format: 8 bytes of header, then
//! sections of an id, a length (LEB128) and contents.

/// The section in which plugins describe themselves.
const MANIFEST: &str = "archipel:manifest";

/// A component with nothing in it.
pub fn empty() -> Vec<u8> {
    b"\0asm\x0d\0\x01\0".to_vec()
}

/// A component from a core module as text, which exports `interfaces` of a world of `wit/`.
///
/// # Panics
/// Where the text is none: it is a test's own.
pub fn of_text(world: &str, text: &str, interfaces: &[&str]) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let here = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("run by cargo"));
    let (package, _) = resolve.push_path(here.join("../wit")).expect("wit/ can be read");
    let world = resolve.select_world(&[package], Some(world)).expect("a world of wit/");
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        wit_component::StringEncoding::UTF8,
    )
    .expect("a module");
    let encoded =
        wit_component::ComponentEncoder::default().validate(true).module(&module).expect("a module").encode();
    let component = encoded.unwrap_or_else(|error| panic!("{error:#}"));
    let manifest = serde_json::json!({
        "name": "text", "version": "1.0.0", "sdk": "none", "wit": "0.1.0", "interfaces": interfaces,
    });
    with_section(&component, MANIFEST, manifest.to_string().as_bytes())
}

/// With a custom section appended.
pub fn with_section(component: &[u8], section: &str, data: &[u8]) -> Vec<u8> {
    let mut contents = name(section);
    contents.extend(data);
    append(component, 0, &contents)
}

/// With the manifest of a plugin appended.
pub fn with_manifest_of(component: &[u8], plugin: &[u8]) -> Vec<u8> {
    with_section(component, MANIFEST, &manifest_of(plugin))
}

/// The same component in other bytes: a section that nobody reads is appended.
pub fn with_custom_section(plugin: Vec<u8>, section: &str) -> Vec<u8> {
    append(&plugin, 0, &name(section))
}

/// A plugin that does not describe itself: its manifest's section has another name.
pub fn without_manifest(plugin: &[u8]) -> Vec<u8> {
    let mut bytes = plugin.to_vec();
    while let Some(at) = find(&bytes, MANIFEST.as_bytes()) {
        bytes[at] = b'x';
    }
    bytes
}

/// A plugin that imports `to` where it imported `from`, a name of the same length.
pub fn importing_instead(plugin: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "lengths are written elsewhere in the file");
    let mut bytes = plugin.to_vec();
    while let Some(at) = find(&bytes, from.as_bytes()) {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// As if built against another version of the contract: every `archipel:...@FROM` becomes `@TO`, of the same length.
pub fn of_version(plugin: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "lengths are written elsewhere in the file");
    let (from, to) = (format!("@{from}"), format!("@{to}"));
    let mut bytes = plugin.to_vec();
    let mut at = 0;
    while let Some(found) = find(&bytes[at..], from.as_bytes()) {
        let start = at + found;
        let before = &bytes[start.saturating_sub(60)..start];
        // Not the versions of WASI: only those whose package is ours.
        let package = before.iter().rposition(|byte| !byte.is_ascii_alphanumeric() && !b":/-".contains(byte));
        let is_ours = before[package.map_or(0, |at| at + 1)..].windows(9).any(|word| word == b"archipel:");
        if is_ours {
            bytes[start..start + to.len()].copy_from_slice(to.as_bytes());
        }
        at = start + from.len();
    }
    bytes
}

/// The JSON of a plugin's manifest.
fn manifest_of(plugin: &[u8]) -> Vec<u8> {
    let at = find(plugin, MANIFEST.as_bytes()).expect("a plugin with a manifest") + MANIFEST.len();
    let rest = &plugin[at..];
    let mut stream = serde_json::Deserializer::from_slice(rest).into_iter::<serde_json::Value>();
    stream.next().expect("a manifest").expect("JSON in the manifest");
    rest[..stream.byte_offset()].to_vec()
}

fn append(component: &[u8], id: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    bytes.push(id);
    bytes.extend(leb128(contents.len()));
    bytes.extend(contents);
    bytes
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = leb128(text.len());
    bytes.extend(text.as_bytes());
    bytes
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|window| window == word)
}
