//! Site files that are wrong: `archipel check-config` tells everything at once, each with its line, and `serve` refuses to
//! start on them.

use archipel_tests::cli::archipel;
use archipel_tests::site::Site;

/// Writes the file and asks.
fn check(text: &str) -> archipel_tests::cli::Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    std::fs::write(&file, text).unwrap();
    archipel(&["check-config", "--config", file.to_str().unwrap()]).unwrap()
}

#[test]
fn a_right_file_is_right() {
    let site = Site::temporary().unwrap();
    site.write().unwrap();
    let ran = site.archipel(&["check-config"]).unwrap().with_code(0);
    assert!(ran.out.contains("site-a.example.org"), "{ran:?}");
    let json = site.archipel(&["check-config", "--output", "json"]).unwrap().with_code(0).json();
    assert_eq!(json["ok"], true);
    check("[site]\nid = \"a.example.org\"\n").with_code(0);
}

#[test]
fn the_sample_site_is_right() {
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/site/site.toml");
    archipel(&["check-config", "--config", sample.to_str().unwrap()]).unwrap().with_code(0);
}

#[test]
fn the_sample_site_over_openstack_is_right() {
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/site/openstack.toml");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    std::fs::copy(sample, &file).unwrap();
    let check = || archipel(&["check-config", "--config", file.to_str().unwrap()]).unwrap();
    let ran = check().with_code(1);
    assert!(format!("{ran:?}").contains("secrets/"), "it says which secrets are to be written: {ran:?}");
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    for name in ["physics", "biology"] {
        let secret = folder.path().join("secrets").join(name);
        std::fs::write(&secret, "not so secret").unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    check().with_code(0);
}

#[test]
fn mistakes_are_told_all_at_once_with_line_and_nearest_key() {
    let ran = check(
        "[site]\nid = \"a.example.org\"\nlisen = \"127.0.0.1:1\"\n\n[[cloud]]\nname = \"c\"\ndriver = \"d\"\nmapper = \"m\"\nconcurency = 4\n\n[limits.api]\npage_max = \"many\"\n",
    )
    .with_code(1);
    for told in [
        "site.toml:3: site.lisen: unknown key; did you mean \"listen\"?",
        "site.toml:9: cloud[0].concurency: unknown key; did you mean \"concurrency\"?",
        "site.toml:12: limits.api.page_max: expected an integer",
    ] {
        assert!(ran.out.contains(told), "{told}\nis not in\n{}", ran.out);
    }
}

#[test]
fn what_keys_mean_together_is_checked() {
    for (text, told) in [
        ("[site]\nid = \"a.example.org\"\nlisten = \"0.0.0.0:8080\"\n", "plain HTTP"),
        ("[site]\nid = \"not a host\"\n", "site.toml:2: site.id"),
        ("[site]\n", "the key \"id\" is missing"),
        ("[sites]\nid = \"a\"\n", "did you mean \"site\"?"),
        ("[site\n", "site.toml:1"),
        (
            "[site]\nid = \"a.example.org\"\n[[cloud]]\nname = \"c\"\ndriver = \"d\"\nmapper = \"m\"\n[[cloud]]\nname = \"c\"\ndriver = \"d\"\nmapper = \"m\"\n",
            "there are two of this name",
        ),
        (
            "[site]\nid = \"a.example.org\"\n[[identity]]\nname = \"local\"\nplugin = \"p\"\nissuers = []\n",
            "issuers is empty",
        ),
        (
            "[site]\nid = \"a.example.org\"\n[[limit]]\nuser = \"u\"\ninstances = 1\n",
            "limit[0].user: expected \"*\" or { issuer",
        ),
        ("[site]\nid = \"a.example.org\"\n[[limit]]\nuser = \"*\"\n", "site.toml:3: limit[0]"),
    ] {
        let ran = check(text).with_code(1);
        assert!(ran.out.contains(told), "{told:?} is not in {:?} for\n{text}", ran.out);
    }
}

#[test]
fn a_file_that_is_not_there_is_no_answer() {
    let ran = archipel(&["check-config", "--config", "/no/such/site.toml"]).unwrap().with_code(2);
    assert!(ran.err.contains("/no/such/site.toml: cannot be read"), "{ran:?}");
}

#[test]
fn serve_does_not_start_on_a_wrong_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    std::fs::write(&file, "[site]\nid = \"a.example.org\"\nport = 1\n").unwrap();
    let ran = archipel(&["serve", "--config", file.to_str().unwrap()]).unwrap().with_code(2);
    assert!(ran.err.contains("site.toml:3: site.port: unknown key"), "{ran:?}");
    assert!(!folder.path().join("data").exists());
}
