use super::*;

const WHOLE: &str = r#"
[site]
id = "site-a.example.org"

[[identity]]
name = "local"
plugin = "aaa-local"
issuers = ["https://site-a.example.org"]
config = { issuer = "https://site-a.example.org", users = [] }

[[authorization]]
plugin = "authz-roles"

[[cloud]]
name = "emulated"
driver = "cloud-emulated"
mapper = "mapper-all-to-one"

[[limit]]
user = "*"
instances = 20

[grants.cloud-emulated]
storage = "64 MiB"

[secrets.admin-password]
file = "secrets/admin"

[limits.api]
page_max = 500

[audit]
reads = true
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/archipel/site.toml"), text, [])
}

fn told(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn one_key_is_a_whole_site() {
    let config = parse("[site]\nid = \"site-a.example.org\"\n").unwrap();
    assert_eq!(config.site.data_dir, Path::new("/etc/archipel/data"));
    assert_eq!(config.site.plugin_dir, Path::new("/etc/archipel/plugins"));
    assert_eq!(config.site.listen.to_string(), "127.0.0.1:7070");
    assert_eq!(config.admin_socket(), Path::new("/etc/archipel/data/admin.sock"));
}

#[test]
fn the_file_of_the_design_is_read() {
    let config = parse(WHOLE).unwrap();
    assert_eq!(config.limits.api.page_max, 500);
    assert!(config.audit.reads && config.audit.retention_s == 400 * 86_400);
    assert_eq!(config.runtime.cloud.len(), 1);
    assert_eq!(config.limit.len(), 1);
}

#[test]
fn the_sample_site_is_right() {
    let config = parse(include_str!("../../../../examples/site/site.toml")).unwrap();
    assert_eq!((config.runtime.identity.len(), config.runtime.cloud.len(), config.limit.len()), (1, 1, 1));
}

#[test]
fn the_sample_site_over_openstack_is_right() {
    let config = parse(include_str!("../../../../examples/site/openstack.toml")).unwrap();
    assert_eq!((config.runtime.identity.len(), config.runtime.cloud.len(), config.limit.len()), (1, 1, 1));
    assert_eq!(config.runtime.grants.len(), 3);
}

#[test]
fn the_audit_is_kept_for_a_day_at_least() {
    assert_eq!(
        told("[site]\nid = \"site-a.example.org\"\n[audit]\nretention_s = 3600\n"),
        "site.toml:4: audit.retention_s: 3600 is less than a day; write at least 86400, or leave it out for 400 days"
    );
    let unknown = told("[site]\nid = \"site-a.example.org\"\n[audit]\nread = true\n");
    assert!(unknown.contains("read") && unknown.contains("reads"), "{unknown}");
}

#[test]
fn a_site_without_an_id_is_told_so() {
    assert_eq!(told(""), "site.toml: site: the key \"id\" is missing");
    assert_eq!(
        told("[site]\nid = \"Site_A\"\n"),
        "site.toml:2: site.id: \"Site_A\" is not a site id; write a lower-case DNS name such as site-a.example.org"
    );
}

#[test]
fn unknown_keys_are_told_at_every_depth() {
    let bad = WHOLE
        .replace("mapper =", "maper =")
        .replace("storage =", "stroage =")
        .replace("page_max", "page_most")
        .replace("[secrets.", "[secret.");
    assert_eq!(
        told(&bad),
        "site.toml:14: cloud[0]: the key \"mapper\" is missing\n\
         site.toml:17: cloud[0].maper: unknown key; did you mean \"mapper\"?\n\
         site.toml:24: grants.cloud-emulated.stroage: unknown key; did you mean \"storage\"?\n\
         site.toml:26: secret: unknown section; did you mean \"secrets\"?\n\
         site.toml:30: limits.api.page_most: unknown key; did you mean \"page_max\"?"
    );
}

#[test]
fn plain_http_to_other_machines_needs_a_word() {
    let site = "[site]\nid = \"a.b\"\nlisten = \"0.0.0.0:80\"\n";
    assert_eq!(
        told(site),
        "site.toml:3: site.listen: 0.0.0.0:80 is reachable from other machines and would serve tokens in plain HTTP; \
         set tls = { cert, key }, listen on 127.0.0.1, or, behind a proxy that does TLS, set \
         allow_plain_http_off_loopback = true"
    );
    assert!(parse(&format!("{site}allow_plain_http_off_loopback = true\n")).is_ok());
    let with_tls = parse(&format!("{site}tls = {{ cert = \"c.pem\", key = \"/k.pem\" }}\n")).unwrap();
    assert_eq!(with_tls.site.tls.unwrap().cert, Path::new("/etc/archipel/c.pem"));
    assert_eq!(
        told("[site]\nid = \"a.b\"\nlisten = \"localhost\"\n"),
        "site.toml:3: site.listen: \"localhost\" is not an address with a port; write \"127.0.0.1:7070\" or \"[::1]:7070\""
    );
}

#[test]
fn what_keys_mean_together_is_told_at_their_line() {
    let twice = format!("{WHOLE}\n[[cloud]]\nname = \"emulated\"\ndriver = \"d\"\nmapper = \"m\"\n");
    assert_eq!(told(&twice), "site.toml:35: cloud[1]: there are two of this name; rename one");
    let limit = WHOLE.replace("user = \"*\"\ninstances = 20", "cloud = \"other\"");
    assert_eq!(
        told(&limit),
        "site.toml:19: limit[0]: limits nothing; set instances, vcpu, ram_mib or disk_gib\n\
         site.toml:20: limit[0].cloud: there is no [[cloud]] with the name \"other\""
    );
}

#[test]
fn a_key_that_is_like_none_is_told_with_those_that_there_are() {
    assert_eq!(
        told("[site]\nid = \"a.b\"\n[audit]\nfile = \"x\"\n"),
        "site.toml:4: audit.file: unknown key; known here: retention_s, reads, denials_per_minute, unauthenticated_per_minute"
    );
}

#[test]
fn the_environment_overrides_the_file() {
    let variables = [
        ("ARCHIPEL__SITE__LISTEN", "127.0.0.1:0"),
        ("ARCHIPEL__CLOUD__EMULATED__CONCURRENCY", "3"),
        ("ARCHIPEL__LIMITS__API__PAGE_MAX", "7"),
        ("ARCHIPEL_CONFIG", "ignored"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::parse(Path::new("/site.toml"), WHOLE, variables).unwrap();
    assert_eq!(config.site.listen.port(), 0);
    assert_eq!(config.runtime.cloud[0].concurrency, 3);
    assert_eq!(config.limits.api.page_max, 7);
}

#[test]
fn publishers_are_checked_like_everything_else() {
    let site = "[site]\nid = \"a.b\"\n";
    let events = "[[events.webhook]]\nname = \"hook\"\nurl = \"https://example.org/x\"\nsecret = \"k\"\nsecrets = [\"k\"]\n\
                  [[events.kafka]]\nname = \"bus\"\nbrokers = [\"b:9092\"]\ntopic = \"x-{state}\"\n";
    assert_eq!(
        told(&format!("{site}{events}")),
        "site.toml:6: events.webhook[0].secret: unknown key; did you mean \"secrets\"?\n\
         site.toml:11: events.kafka[0].topic: \"x-{state}\": {state} is none of {site}, {cloud}, {kind} and {subject}"
    );
    let events = "[[events.webhook]]\nname = \"hook\"\nurl = \"https://example.org/x\"\nsecrets = [\"k\"]\nclouds = [\"east\"]\n";
    assert_eq!(
        told(&format!("{site}{events}")),
        "site.toml:6: events.webhook[0].secrets: there is no [secrets.k]; add it\n\
         site.toml:7: events.webhook[0].clouds: there is no [[cloud]] with the name \"east\""
    );
}
