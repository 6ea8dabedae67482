//! URLs and patterns of them: plugins write the first, administrators the second.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../../../tests/fuzz/mutate.rs"]
mod mutate;

use archipel_egress::{AddressRange, Origin, OriginPattern};
use mutate::fuzz;

const WORDS: [&[u8]; 16] = [
    b"https://",
    b"http://",
    b"@",
    b"#",
    b"?",
    b"\\",
    b"%2e%2e",
    b"*.",
    b"[::ffff:127.0.0.1]",
    b"0x7f.1",
    b"2130706433",
    b":65536",
    b"xn--",
    b"\xe2\x80\x8b",
    b"\t",
    b"..",
];

fn seeds() -> Vec<Vec<u8>> {
    [
        "https://cloud.example.org:5000/v3?x=1",
        "http://127.0.0.1:8774/a/../b",
        "https://[fd00::1]/",
        "https://*.example.org",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

#[test]
fn a_url_has_one_meaning_or_none() {
    fuzz("url", &seeds(), &WORDS, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok((origin, target)) = Origin::of_url(text) else { return };
        // The request that leaves is written from these two: it must lead where the check looked.
        let (again, same) =
            Origin::of_url(&format!("{origin}{target}")).expect("an origin is written as it is read");
        assert_eq!((&again, &same), (&origin, &target), "{text:?}");
        assert!(target.starts_with('/') && !origin.host.is_empty(), "{text:?}");
    });
}

#[test]
fn a_pattern_allows_what_it_names_and_never_everything() {
    let strangers: Vec<Origin> =
        ["https://strange.invalid", "http://169.254.169.254", "https://other.test:1"]
            .iter()
            .map(|text| Origin::of_url(text).unwrap().0)
            .collect();
    fuzz("pattern", &seeds(), &WORDS, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(pattern) = text.parse::<OriginPattern>() else { return };
        let again: OriginPattern = pattern.to_string().parse().expect("a pattern is written as it is read");
        assert_eq!(again, pattern, "{text:?}");
        assert!(!strangers.iter().all(|stranger| pattern.allows(stranger)), "{text:?}");
    });
}

#[test]
fn a_range_of_addresses_is_never_everything() {
    let seeds = ["10.1.0.0/16", "fd00::/8", "127.0.0.1"].map(|text| text.as_bytes().to_vec());
    let addresses =
        ["8.8.8.8", "127.0.0.1", "10.0.0.1", "2001:4860::1", "::1", "fd00::1"].map(|ip| ip.parse().unwrap());
    fuzz("range", &seeds, &[b"/", b"/0", b"::", b"255", b"ffff:"], |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(range) = text.parse::<AddressRange>() else { return };
        assert!(!addresses.iter().all(|address| range.contains(*address)), "{text:?}");
    });
}
