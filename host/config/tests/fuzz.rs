//! The site file, and the variables that are put over it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../../../tests/fuzz/mutate.rs"]
mod mutate;

use archipel_config::Tree;
use mutate::fuzz;

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    id: String,
    number: u32,
    list: Vec<String>,
    flag: Option<bool>,
}

impl Default for Section {
    fn default() -> Self {
        Self { id: String::new(), number: 1, list: Vec::new(), flag: None }
    }
}

#[test]
fn a_site_file_and_its_variables_survive_any_text() {
    let seed =
        "[site]\nid = \"a\"\nnumber = 7\nlist = [\"x\"]\n[[cloud]]\nid = \"c\"\n# ARCHIPEL__SITE__ID\n";
    let words: [&[u8]; 10] =
        [b"[[", b"]]\n", b"\"\"\"", b"= {", b"__", b"0x", b"1e9", b"inf", b"\\U0010ffff", b"[site.id]\n"];
    fuzz("site file", &[seed.as_bytes().to_vec()], &words, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(mut tree) = Tree::parse("site.toml", text) else { return };
        let name: String = text.chars().filter(|letter| !letter.is_control()).take(40).collect();
        let variables = [
            (format!("ARCHIPEL__{}", name.to_uppercase()), name.clone()),
            ("ARCHIPEL__SITE__NUMBER".to_owned(), name),
        ];
        tree.override_from(variables, "ARCHIPEL");
        let mut reader = tree.reader();
        let _: Option<Section> = reader.section("site");
        let _: Vec<Section> = reader.array("cloud");
        if let Err(problems) = reader.finish() {
            assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.to_string().is_empty()));
        }
    });
}
