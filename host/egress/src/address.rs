//! Which addresses a name may lead to. Pure; applied to what DNS returned, so that a name cannot be rebound to a
//! neighbour after it was checked.
//!
//! Order of evaluation: an IPv4 address inside IPv6 (`::ffff:a.b.c.d`) is judged as that IPv4 address → never
//! (unspecified, multicast, broadcast) → a range that the grant names → public → private, if the grant says
//! `private = true` → refused.
//! `private = true` means the networks that people run clouds in (RFC 1918, RFC 4193, RFC 6598, loopback). It does not
//! mean link-local: 169.254.169.254 hands out the host's own credentials, so it must be named as a range.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What an address is for (IANA special-purpose registries).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// The Internet.
    Public,
    /// This machine.
    Loopback,
    /// Private networks: RFC 1918, unique local, carrier-grade NAT.
    Private,
    /// The link, and the metadata services that live there.
    LinkLocal,
    /// Documentation, benchmarks, reserved blocks.
    Reserved,
    /// IPv6 that carries IPv4 to somewhere else (NAT64, 6to4, Teredo, IPv4-compatible).
    Translated,
    /// Nobody or everybody: unspecified, multicast, broadcast.
    NotAHost,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Reserved => "reserved",
            Self::Translated => "translated",
            Self::NotAHost => "not a host's",
        })
    }
}

/// An address with a prefix length: `10.1.0.0/16`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange {
    base: IpAddr,
    prefix: u8,
}

impl AddressRange {
    /// Whether an address lies inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, canonical(address)) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                base.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                base.to_bits() & mask == ip.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("{text:?} is not an address range; write 10.1.0.0/16, fd00::/8 or one address");
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix.parse::<u8>().map_err(|_| fail())?)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| fail())?;
        if matches!(base, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some()) {
            return Err(fail());
        }
        let width = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(width);
        // A range of everything is a bare star in other words.
        if prefix == 0 || prefix > width {
            return Err(fail());
        }
        Ok(Self { base, prefix })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl Serialize for AddressRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AddressRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Which addresses beyond public ones a grant allows: `private = true` or `private = ["10.1.0.0/16"]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "true, false or a list of address ranges such as [\"10.1.0.0/16\"]")]
pub enum PrivateAccess {
    /// All private networks and loopback, or none.
    All(bool),
    /// These ranges, whatever they are, and no other.
    Ranges(Vec<AddressRange>),
}

impl Default for PrivateAccess {
    fn default() -> Self {
        Self::All(false)
    }
}

impl PrivateAccess {
    /// Whether a connection to this address may be made.
    ///
    /// # Errors
    /// What kind of address it is, where it may not.
    pub fn judge(&self, address: IpAddr) -> Result<(), AddressKind> {
        let address = canonical(address);
        let kind = classify(address);
        let allowed = match (kind, self) {
            (AddressKind::NotAHost, _) => false,
            (AddressKind::Public, _) => true,
            (_, Self::Ranges(ranges)) => ranges.iter().any(|range| range.contains(address)),
            (AddressKind::Loopback | AddressKind::Private, Self::All(all)) => *all,
            (AddressKind::LinkLocal | AddressKind::Reserved | AddressKind::Translated, Self::All(_)) => false,
        };
        if allowed { Ok(()) } else { Err(kind) }
    }
}

/// The IPv4 address that `::ffff:a.b.c.d` is; every other address as it is.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// What an address is for.
pub fn classify(address: IpAddr) -> AddressKind {
    match canonical(address) {
        IpAddr::V4(ip) => classify_v4(ip),
        IpAddr::V6(ip) => classify_v6(ip),
    }
}

fn classify_v4(ip: Ipv4Addr) -> AddressKind {
    match ip.octets() {
        [0, 0, 0, 0] | [255, 255, 255, 255] | [224..=239, ..] => AddressKind::NotAHost,
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => AddressKind::Private,
        [169, 254, ..] => AddressKind::LinkLocal,
        // "This network", IETF protocol assignments, 6to4 relays, the AS112 blocks, benchmarks, three documentation
        // blocks, and everything above multicast.
        [0, ..]
        | [192, 0, 0, _]
        | [192, 88, 99, _]
        | [192, 31, 196, _]
        | [192, 52, 193, _]
        | [192, 175, 48, _]
        | [198, 18..=19, ..]
        | [192, 0, 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [240..=255, ..] => AddressKind::Reserved,
        _ => AddressKind::Public,
    }
}

fn classify_v6(ip: Ipv6Addr) -> AddressKind {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] | [0xff00..=0xffff, ..] => AddressKind::NotAHost,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressKind::Loopback,
        [0xfc00..=0xfdff, ..] => AddressKind::Private,
        [0xfe80..=0xfebf, ..] => AddressKind::LinkLocal,
        // IPv4-compatible and IPv4-translated, NAT64 (both prefixes), Teredo, 6to4.
        [0, 0, 0, 0, 0, 0, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, ..]
        | [0x2001, 0, ..]
        | [0x2002, ..] => AddressKind::Translated,
        // Outside 2000::/3 nothing is assigned as global unicast; inside it, IETF assignments and documentation.
        [0x2001, 0x0001..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => {
            AddressKind::Reserved
        }
        [0x2000..=0x3fff, ..] => AddressKind::Public,
        _ => AddressKind::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> AddressKind {
        classify(text.parse().unwrap())
    }

    #[test]
    fn every_special_block_is_known() {
        use AddressKind::*;
        for (address, wanted) in [
            ("8.8.8.8", Public),
            ("1.1.1.1", Public),
            ("2001:4860:4860::8888", Public),
            ("2a00:1450::1", Public),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("172.32.0.1", Public),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("100.128.0.1", Public),
            ("fd00:ec2::254", Private),
            ("fc00::1", Private),
            ("::ffff:10.0.0.1", Private),
            ("169.254.169.254", LinkLocal),
            ("::ffff:169.254.169.254", LinkLocal),
            ("::ffff:a9fe:a9fe", LinkLocal),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", Reserved),
            ("0.0.0.0", NotAHost),
            ("::", NotAHost),
            ("224.0.0.1", NotAHost),
            ("239.255.255.255", NotAHost),
            ("255.255.255.255", NotAHost),
            ("ff02::1", NotAHost),
            ("::ffff:0.0.0.0", NotAHost),
            ("0.1.2.3", Reserved),
            ("192.0.0.8", Reserved),
            ("192.0.2.1", Reserved),
            ("198.18.0.1", Reserved),
            ("198.51.100.7", Reserved),
            ("203.0.113.9", Reserved),
            ("240.0.0.1", Reserved),
            ("2001:db8::1", Reserved),
            ("3fff::1", Reserved),
            ("2001:10::1", Reserved),
            ("100::1", Reserved),
            ("4000::1", Reserved),
            ("64:ff9b::7f00:1", Translated),
            ("64:ff9b:1::1", Translated),
            ("2002:7f00:1::", Translated),
            ("2001::1", Translated),
            ("::127.0.0.1", Translated),
            ("::ffff:0:7f00:1", Translated),
        ] {
            assert_eq!(kind(address), wanted, "{address}");
        }
    }

    #[test]
    fn only_public_addresses_are_allowed_by_default() {
        let policy = PrivateAccess::default();
        assert!(policy.judge("8.8.8.8".parse().unwrap()).is_ok());
        for no in
            ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "64:ff9b::8.8.8.8", "2001:db8::1"]
        {
            assert!(policy.judge(no.parse().unwrap()).is_err(), "{no}");
        }
    }

    #[test]
    fn private_true_does_not_reach_the_metadata_service() {
        let policy = PrivateAccess::All(true);
        for yes in ["127.0.0.1", "::1", "10.2.3.4", "fd00::1", "8.8.8.8", "::ffff:192.168.0.1"] {
            assert!(policy.judge(yes.parse().unwrap()).is_ok(), "{yes}");
        }
        for no in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "224.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "::169.254.169.254",
        ] {
            assert!(policy.judge(no.parse().unwrap()).is_err(), "{no}");
        }
    }

    #[test]
    fn named_ranges_allow_what_lies_in_them_and_never_what_is_no_host() {
        let policy = PrivateAccess::Ranges(vec![
            "10.1.0.0/16".parse().unwrap(),
            "169.254.169.254".parse().unwrap(),
            "fd12::/16".parse().unwrap(),
        ]);
        for yes in ["10.1.255.1", "::ffff:10.1.0.1", "169.254.169.254", "fd12::9", "8.8.8.8"] {
            assert!(policy.judge(yes.parse().unwrap()).is_ok(), "{yes}");
        }
        for no in ["10.2.0.1", "127.0.0.1", "169.254.169.253", "fd13::1", "::"] {
            assert!(policy.judge(no.parse().unwrap()).is_err(), "{no}");
        }
    }

    #[test]
    fn ranges_of_everything_are_refused() {
        for wrong in ["0.0.0.0/0", "::/0", "10.0.0.0/33", "10.0.0", "::ffff:10.0.0.0/104", "a/8", "10.0.0.0/"]
        {
            assert!(wrong.parse::<AddressRange>().is_err(), "{wrong}");
        }
        assert_eq!("fd00::/8".parse::<AddressRange>().unwrap().to_string(), "fd00::/8");
    }

    #[test]
    fn the_configuration_takes_a_boolean_or_ranges() {
        let read = |json: &str| serde_json::from_str::<PrivateAccess>(json);
        assert_eq!(read("true").unwrap(), PrivateAccess::All(true));
        assert!(matches!(read("[\"10.0.0.0/8\"]").unwrap(), PrivateAccess::Ranges(r) if r.len() == 1));
        assert!(read("\"yes\"").unwrap_err().to_string().contains("10.1.0.0/16"));
    }
}
