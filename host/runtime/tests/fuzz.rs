//! Foreign bytes: the file itself, its manifest, and what an administrator writes about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../../../tests/fuzz/mutate.rs"]
mod mutate;
mod support;

use archipel_runtime::grants::{EffectiveGrants, GrantConfig, Requested};
use archipel_runtime::signatures::{SignaturePolicy, Signed};
use archipel_runtime::{RuntimeConfig, RuntimeLimits, check, manifest};
use mutate::fuzz;
use serde_json::json;
use support::{ALLOW, authorization, counting_quota};

fn manifest_text() -> String {
    json!({
        "name": "a", "version": "1.0.0", "sdk": "s", "wit": "0.1.0", "interfaces": ["archipel:cloud/compute@0.1.0"],
        "capabilities": {
            "hosts": [{"config": "/url", "reason": "r"}, {"origin": "https://*.a.test", "reason": "r"}, {"discovered": "c", "reason": "r"}],
            "secrets": [{"name": "login.*", "reason": "r"}], "storage": {"bytes": 1048576, "reason": "r"},
            "crypto": [{"purpose": "session", "reason": "r"}], "folders": [{"name": "p", "reason": "r"}],
        },
        "config_schema": {"type": "object", "properties": {"url": {"type": "string"}}},
        "drivers": {"compute": {"create": "searchable", "settle_ms": 5000, "actions": ["stop", "start"]}},
    })
    .to_string()
}

#[test]
fn the_scan_of_a_file_survives_any_bytes() {
    let limits = RuntimeLimits::default();
    let nested =
        wat::parse_str("(component (component (core module (func) (memory 1)) (component)))").unwrap();
    let seeds = [authorization(0, ALLOW), counting_quota(0), nested, b"\0asm\x01\0\0\0".to_vec()];
    let words: [&[u8]; 6] = [
        b"\0asm\x0d\0\x01\0",
        b"\0asm\x01\0\0\0",
        b"archipel:manifest",
        &[4, 0xff, 0x7f],
        &[1, 0x80, 0x80, 0x80, 0x80, 1],
        b"\x7fELF",
    ];
    let tried = fuzz("scan", &seeds, &words, |bytes| {
        // What it is refused for is told to people.
        assert!(check(bytes, &limits).map_or_else(|refusal| !refusal.to_string().is_empty(), |_| true));
    });
    assert!(tried > 10, "{tried}");
}

#[test]
fn a_manifest_survives_any_bytes() {
    let seeds = [manifest_text().into_bytes(), b"{}".to_vec()];
    let words: [&[u8]; 8] =
        [b"\"wit\":\"0.1.0\"", b"null", b"[", b"{", b"\\u0000", b"1e999", b"-0", b"\xff\xfe"];
    fuzz("manifest", &seeds, &words, |bytes| {
        if let Ok(manifest) = manifest::parse(bytes) {
            let again = manifest::parse(&serde_json::to_vec(&manifest).unwrap());
            assert_eq!(again.unwrap(), manifest, "what was read is written and read alike");
        }
    });
}

#[test]
fn a_grant_survives_any_text_and_gives_nothing_that_is_not_asked_for() {
    let text = r#"
        hosts = ["https://keystone.test:5000", "https://*.cloud.test", "http://127.0.0.1:1"]
        private = ["10.1.0.0/16"]
        storage = "4 MiB"
        secrets = [{ name = "admin", origin = "https://keystone.test:5000", methods = ["POST"], path = "/v3/*", placement = "header:x-a" }]
        crypto = [{ purpose = "session", lifetime_s_max = 3600 }]
        folders = ["policies"]
        pin = "digest"
        accept = ["sha256:ab"]
    "#;
    let words: [&[u8]; 9] =
        [b"*", b"https://", b"\"\"\"", b"[[", b"/0", b"GiB", b"99999999999999999999", b"key:", b"\\u0000"];
    let asked: Requested = serde_json::from_str(
        r#"{"hosts": [{"discovered": "c", "reason": "r"}], "secrets": [{"name": "*", "reason": "r"}]}"#,
    )
    .unwrap();
    fuzz("grant", &[text.as_bytes().to_vec()], &words, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(grant) = toml::from_str::<GrantConfig>(text) else { return };
        let nothing = EffectiveGrants::new(&Requested::default(), &grant, &json!({}));
        assert!(
            nothing.egress.hosts.is_empty() && nothing.storage == 0 && nothing.crypto.is_empty(),
            "{grant:?}"
        );
        let given = EffectiveGrants::new(&asked, &grant, &json!({}));
        assert!(given.egress.hosts.iter().all(|host| grant.hosts.contains(host)), "{grant:?}");
        let missing = EffectiveGrants::missing(&asked, &grant, &json!({}));
        let _ = missing.as_toml("p", &grant);
    });
}

#[test]
fn the_runtimes_part_of_a_site_file_survives_any_text() {
    let text = r#"
        [[identity]]
        name = "local"
        plugin = "aaa-local"
        issuers = ["https://site-a.example.org"]
        config = { users = [] }
        [[authorization]]
        plugin = "authz-roles"
        [[cloud]]
        name = "emulated"
        driver = "cloud-emulated"
        mapper = "mapper-all-to-one"
        interfaces = { quota = "other" }
        sweep = { unknown = "delete" }
        [limits]
        memory_mib = 32
    "#;
    let words: [&[u8]; 6] =
        [b"[[cloud]]\n", b"name = \"\"\n", b"\"../\"", b"-1", b"18446744073709551615", b"\r"];
    fuzz("site file", &[text.as_bytes().to_vec()], &words, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(config) = toml::from_str::<RuntimeConfig>(text) {
            // Right or wrong, it is told.
            let _ = config.check();
        }
    });
}

#[test]
fn a_signature_counts_for_its_bytes_alone_whatever_is_beside_it() {
    // Made by minisign 0.11 over "a component".
    let signature = "untrusted comment: signature from minisign secret key\nRUTEsQT48gp9hc0mAYe6kB2yKi/D5DEsaL9xHoCpMf+4EX3mujCrXU99r0PVYToG7ScvhVFlGk9rNesgveElp62uSrhC93t+uAw=\ntrusted comment: timestamp:1795342396\tfile:a.wasm\thashed\nter6qYx+xXR8DpRebD4DBIwtzmra0CHT4xKzItWlMi3FBixjlycKLy/iTSpktzP5TQhs9/olWtJniOflNF62Aw==\n";
    let policy: SignaturePolicy = toml::from_str(
        "[[key]]\nname = \"operations\"\nkey = \"RWTEsQT48gp9hXd6ZxxlCWwBjYfHbSupXug2BGCdL4TNH4RQc3S8h28I\"\ninterfaces = [\"*\"]\n",
    )
    .unwrap();
    let right = Signed::judge(b"a component", Some(signature), &policy);
    assert!(right.by(&policy).is_some(), "{right:?}");
    let words: [&[u8]; 5] = [b"untrusted comment: ", b"trusted comment: ", b"\n", b"RUTEsQT48gp9h", b"="];
    fuzz("signature", &[signature.as_bytes().to_vec()], &words, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        assert!(Signed::judge(b"another component", Some(text), &policy).by(&policy).is_none(), "{text:?}");
        let _ = Signed::judge(b"a component", Some(text), &policy);
    });
}
