//! The words that a person sees, pinned.

#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it must be")]

use std::collections::BTreeMap;

use archipel_config::Tree;
use serde::Deserialize;

#[derive(Debug, Deserialize, PartialEq)]
#[allow(dead_code, reason = "read by serde and Debug")]
struct Site {
    id: String,
    #[serde(default)]
    listen: Option<std::net::SocketAddr>,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    tls: Option<Tls>,
    #[serde(default)]
    open: bool,
    #[serde(default)]
    state: State,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    anything: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[allow(dead_code, reason = "read by serde and Debug")]
struct Tls {
    cert: std::path::PathBuf,
    key: std::path::PathBuf,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum State {
    #[default]
    Active,
    Draining,
}

fn read(text: &str, environment: &[(&str, &str)]) -> Result<Site, Vec<String>> {
    let mut tree = Tree::parse("site.toml", text).map_err(|problem| vec![problem.to_string()])?;
    tree.override_from(environment.iter().map(|(k, v)| (k.to_string(), v.to_string())), "ARCHIPEL");
    let mut reader = tree.reader();
    let site = reader.section::<Site>("site");
    reader.finish().map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok(site.unwrap())
}

fn told(text: &str) -> Vec<String> {
    read(text, &[]).unwrap_err()
}

#[test]
fn an_unknown_key_names_line_and_nearest_key() {
    assert_eq!(
        told("[site]\nid = \"a\"\nlisen = \"127.0.0.1:1\"\n"),
        ["site.toml:3: site.lisen: unknown key; did you mean \"listen\"?"]
    );
    assert_eq!(
        told("[site]\nid = \"a\"\nzzz = 1\n"),
        [
            "site.toml:3: site.zzz: unknown key; known here: id, listen, port, tls, open, state, tags, anything"
        ]
    );
    assert_eq!(
        told("[sites]\n[site]\nid = \"a\"\n"),
        ["site.toml:1: sites: unknown section; did you mean \"site\"?"]
    );
}

#[test]
fn a_wrong_type_names_line_path_and_what_is_expected() {
    assert_eq!(
        told("[site]\nid = 7\n"),
        ["site.toml:2: site.id: expected a string in quotes, found the integer 7"]
    );
    assert_eq!(
        told("[site]\nid = \"a\"\nport = 70000\n"),
        ["site.toml:3: site.port: expected an integer from 0 to 65535, found the integer 70000"]
    );
    assert_eq!(
        told("[site]\nid = \"a\"\nlisten = \"localhost\"\n"),
        ["site.toml:3: site.listen: invalid socket address syntax"]
    );
    assert_eq!(
        told("[site]\nid = \"a\"\nopen = \"yes\"\n"),
        ["site.toml:3: site.open: expected true or false, found the string \"yes\""]
    );
    assert_eq!(
        told("[site]\nid = \"a\"\ntags = [\"x\", 5]\n"),
        ["site.toml:3: site.tags[1]: expected a string in quotes, found the integer 5"]
    );
    assert_eq!(
        told("[site]\nid = \"a\"\nstate = \"actve\"\n"),
        ["site.toml:3: site.state: \"actve\" is not known here; write one of active, draining"]
    );
    assert_eq!(told("site = 5\n"), ["site.toml:1: site: expected a table, found the integer 5"]);
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    assert_eq!(
        told("[site]\nid = 1\nprt = 2\nport = \"x\"\ntls = { crt = \"c\", key = 3 }\n[nope]\n"),
        [
            "site.toml:2: site.id: expected a string in quotes, found the integer 1",
            "site.toml:3: site.prt: unknown key; did you mean \"port\"?",
            "site.toml:4: site.port: expected an integer from 0 to 65535, found the string \"x\"",
            "site.toml:5: site.tls: the key \"cert\" is missing",
            "site.toml:5: site.tls.crt: unknown key; did you mean \"cert\"?",
            "site.toml:5: site.tls.key: expected a path in quotes, found the integer 3",
            "site.toml:6: nope: unknown section; known here: site",
        ]
    );
}

#[test]
fn a_missing_key_is_told_where_its_table_is() {
    assert_eq!(told("\n[site]\nport = 1\n"), ["site.toml:2: site: the key \"id\" is missing"]);
    assert_eq!(told(""), ["site.toml: site: the key \"id\" is missing"]);
}

#[test]
fn the_environment_overrides_any_key_and_is_named_where_it_is_wrong() {
    let site = read(
        "[site]\nid = \"a\"\nport = 1\n[site.anything]\nwith-hyphen = 1\n",
        &[
            ("ARCHIPEL__SITE__ID", "123"),
            ("ARCHIPEL__SITE__PORT", "81"),
            ("ARCHIPEL__SITE__OPEN", "true"),
            ("ARCHIPEL__SITE__STATE", "draining"),
            ("ARCHIPEL__SITE__TAGS", "[\"x\", \"y\"]"),
            ("ARCHIPEL__SITE__TLS__CERT", "c"),
            ("ARCHIPEL__SITE__TLS__KEY", "k"),
            ("ARCHIPEL__SITE__ANYTHING__WITH_HYPHEN", "two"),
            ("ARCHIPEL_CONFIG", "not an override"),
        ],
    )
    .unwrap();
    assert_eq!((site.id.as_str(), site.port, site.open, &site.state), ("123", 81, true, &State::Draining));
    assert_eq!(site.tags, ["x", "y"]);
    assert_eq!(site.tls.unwrap().key.to_str(), Some("k"));
    assert_eq!(site.anything["with-hyphen"], "two");
    assert_eq!(
        read("[site]\nid = \"a\"\n", &[("ARCHIPEL__SITE__PORT", "many"), ("ARCHIPEL__SITE__LISEN", "x")])
            .unwrap_err(),
        [
            "$ARCHIPEL__SITE__LISEN: site.lisen: unknown key; did you mean \"listen\"?",
            "$ARCHIPEL__SITE__PORT: site.port: expected an integer from 0 to 65535, found \"many\"",
        ]
    );
}

#[test]
fn items_of_an_array_are_found_by_index_or_name() {
    #[derive(Debug, Deserialize)]
    struct Cloud {
        name: String,
        calls: u32,
    }
    let clouds = |key: &str, value: &str| {
        let mut tree = Tree::parse(
            "f",
            "[[cloud]]\nname = \"one\"\ncalls = 1\n[[cloud]]\nname = \"the-two\"\ncalls = 2\n",
        )
        .unwrap();
        tree.override_from([(key.to_owned(), value.to_owned())], "A");
        let mut reader = tree.reader();
        let clouds = reader.array::<Cloud>("cloud");
        reader.finish().map(|()| clouds).map_err(|all| all[0].to_string())
    };
    assert_eq!(clouds("A__CLOUD__0__CALLS", "9").unwrap()[0].calls, 9);
    assert_eq!(clouds("A__CLOUD__THE_TWO__CALLS", "9").unwrap()[1].calls, 9);
    assert_eq!(clouds("A__CLOUD__0__NAME", "new").unwrap()[0].name, "new");
    assert_eq!(
        clouds("A__CLOUD__NONE__CALLS", "9").unwrap_err(),
        "$A__CLOUD__NONE__CALLS: cloud.none.calls: no item is named \"none\"; write its index or its name"
    );
    assert_eq!(
        clouds("A__CLOUD__7__CALLS", "9").unwrap_err(),
        "$A__CLOUD__7__CALLS: cloud.7.calls: there are 2 items, so the next index is 2, not 7"
    );
}

#[test]
fn a_mistake_of_meaning_is_told_at_its_line() {
    let tree = Tree::parse("f", "[[cloud]]\nname = \"a\"\n\n[[cloud]]\nname = \"b\"\n").unwrap();
    let mut reader = tree.reader();
    reader.array::<BTreeMap<String, String>>("cloud");
    reader.refuse("cloud[1].name", "is taken");
    reader.refuse("cloud[1].driver", "is missing");
    let all = reader.finish().unwrap_err();
    assert_eq!(all[0].to_string(), "f:4: cloud[1].driver: is missing");
    assert_eq!(all[1].to_string(), "f:5: cloud[1].name: is taken");
}
