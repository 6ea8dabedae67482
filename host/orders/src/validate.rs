//! Whether a request makes sense before anything is asked of a cloud. Types were checked at the edge; here are ranges and
//! grammars, each with the bound that it keeps.

use std::collections::BTreeMap;
use std::net::IpAddr;

use archipel_model::Error;
use archipel_model::spec::{
    AttachmentSpec, ComputeSpec, NetworkRef, NetworkSpec, Spec, VolumeSource, VolumeSpec,
};

/// Longest name, id or tag, in bytes: what every cloud's own fields take.
const TEXT: usize = 255;
/// Longest user data: what OpenStack's and Amazon's APIs take.
const USER_DATA: usize = 64 * 1024;
/// Longest public key.
const PUBLIC_KEY: usize = 16 * 1024;
/// Largest machine, so that a slip of units is refused here and not by the cloud.
const VCPU: u64 = 4096;
const RAM_MIB: u64 = 64 * 1024 * 1024;
const DISK_GIB: u64 = 1_048_576;
/// Most security groups or requirements of one order.
const LIST: usize = 64;
/// Most networks of one compute: each is checked and counted in the accepting commit.
const NETWORKS: usize = 16;

/// An `invalid` that names its field.
pub(crate) fn wrong(field: &str, what: &str) -> Error {
    Error::invalid(format!("{field}: {what}")).detail("field", field)
}

/// A name for people: any text on one line.
pub(crate) fn name(name: &str) -> Result<(), Error> {
    if name.len() > TEXT {
        return Err(wrong("name", &format!("is {} bytes long; at most {TEXT} are kept", name.len())));
    }
    if name.chars().any(char::is_control) {
        return Err(wrong("name", "holds a control character; leave it out"));
    }
    Ok(())
}

/// Keys `[a-z0-9][a-z0-9._/-]{0,62}`, values up to 256 bytes.
pub(crate) fn labels(labels: &BTreeMap<String, String>, most: usize) -> Result<(), Error> {
    if labels.len() > most {
        return Err(wrong("labels", &format!("are {}; at most {most} are kept", labels.len())));
    }
    for (key, value) in labels {
        let first = key.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let rest = key.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'/' | b'-')
        });
        if !first || !rest || key.len() > 63 {
            let shown: String = key.chars().take(64).collect();
            return Err(wrong("labels", &format!("{shown:?} is no key; write [a-z0-9][a-z0-9._/-]{{0,62}}")));
        }
        if value.len() > 256 {
            return Err(wrong(&format!("labels.{key}"), "is longer than 256 bytes; shorten it"));
        }
    }
    Ok(())
}

/// The ranges of a spec.
pub(crate) fn spec(spec: &Spec) -> Result<(), Error> {
    match spec {
        Spec::Compute(spec) => compute(spec),
        Spec::Volume(spec) => volume(spec),
        Spec::Network(spec) => network(spec),
        Spec::Attachment(spec) => attachment(spec),
        _ => Err(Error::unsupported("this kind cannot be ordered here")),
    }
}

fn compute(spec: &ComputeSpec) -> Result<(), Error> {
    text("image", &spec.image)?;
    let amounts = [
        ("vcpu", spec.vcpu.map(u64::from), VCPU),
        ("ram_mib", spec.ram_mib, RAM_MIB),
        ("disk_gib", spec.disk_gib, DISK_GIB),
        ("boot_volume", spec.boot_volume, DISK_GIB),
    ];
    for (field, amount, most) in amounts {
        range(field, amount, most)?;
    }
    if let Some(id) = &spec.spec {
        text("spec", id)?;
        if spec.vcpu.is_some() || spec.ram_mib.is_some() {
            return Err(wrong("spec", "is given beside vcpu or ram_mib; give one or the other"));
        }
    }
    few("networks", spec.networks.len(), NETWORKS)?;
    for (at, network) in spec.networks.iter().enumerate() {
        if let NetworkRef::CloudId(id) = network {
            text(&format!("networks[{at}].cloud_id"), id)?;
        }
    }
    few("security_groups", spec.security_groups.len(), LIST)?;
    for (at, group) in spec.security_groups.iter().enumerate() {
        text(&format!("security_groups[{at}]"), group)?;
    }
    if let Some(zone) = &spec.availability_zone {
        text("availability_zone", zone)?;
    }
    if spec.public_key.as_ref().is_some_and(|key| key.len() > PUBLIC_KEY) {
        return Err(wrong("public_key", &format!("is longer than {PUBLIC_KEY} bytes; shorten it")));
    }
    if let Some(data) = spec.user_data.as_ref().filter(|data| data.len() > USER_DATA) {
        return Err(wrong(
            "user_data",
            &format!("is {} bytes long; at most {USER_DATA} are taken", data.len()),
        ));
    }
    requirements(&spec.requirements)
}

fn volume(spec: &VolumeSpec) -> Result<(), Error> {
    range("size_gib", Some(spec.size_gib), DISK_GIB)?;
    match &spec.source {
        Some(VolumeSource::Image(id)) => text("source.image", id)?,
        Some(VolumeSource::Snapshot(id)) => text("source.snapshot", id)?,
        None => {}
    }
    requirements(&spec.requirements)
}

fn attachment(spec: &AttachmentSpec) -> Result<(), Error> {
    spec.device.as_ref().map_or(Ok(()), |device| text("device", device))
}

fn network(spec: &NetworkSpec) -> Result<(), Error> {
    let (network, prefix) = cidr(&spec.cidr)?;
    if let Some(gateway) = &spec.gateway {
        let gateway: IpAddr = gateway.parse().map_err(|_| wrong("gateway", "is no IP address"))?;
        let (range, address, bits) = match (network, gateway) {
            (IpAddr::V4(range), IpAddr::V4(address)) => {
                (u128::from(range.to_bits()), u128::from(address.to_bits()), 32)
            }
            (IpAddr::V6(range), IpAddr::V6(address)) => (range.to_bits(), address.to_bits(), 128),
            _ => return Err(wrong("gateway", "is not of the family of the cidr")),
        };
        let hosts = hosts(prefix, bits);
        if address & !hosts != range {
            return Err(wrong("gateway", &format!("is not within {}", spec.cidr)));
        }
        let broadcast = bits == 32 && address == range | hosts;
        if address == range || broadcast {
            return Err(wrong("gateway", "is the network's own or its broadcast address; take another"));
        }
    }
    if let Some(mtu) = spec.mtu.filter(|mtu| !(68..=65_535).contains(mtu)) {
        return Err(wrong("mtu", &format!("is {mtu}; write 68 to 65535")));
    }
    Ok(())
}

/// `10.0.0.0/24`: the network's own address, with room for a gateway and a machine.
fn cidr(text: &str) -> Result<(IpAddr, u32), Error> {
    let form = || wrong("cidr", "is no address range; write one such as 10.0.0.0/24");
    let (address, prefix) = text.split_once('/').ok_or_else(form)?;
    let address: IpAddr = address.parse().map_err(|_| form())?;
    if prefix.len() > 3 || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(form());
    }
    let prefix: u32 = prefix.parse().map_err(|_| form())?;
    let (bits, value) = match address {
        IpAddr::V4(address) => (32, u128::from(address.to_bits())),
        IpAddr::V6(address) => (128, address.to_bits()),
    };
    if prefix == 0 || prefix > bits - 2 {
        return Err(wrong("cidr", &format!("/{prefix} is out of range; write /1 to /{}", bits - 2)));
    }
    if value & hosts(prefix, bits) != 0 {
        return Err(wrong("cidr", "has host bits set; write the network's own address"));
    }
    Ok((address, prefix))
}

/// The bits of a range that number its hosts.
fn hosts(prefix: u32, bits: u32) -> u128 {
    1_u128.checked_shl(bits.saturating_sub(prefix)).map_or(u128::MAX, |size| size - 1)
}

fn requirements(requirements: &BTreeMap<String, String>) -> Result<(), Error> {
    few("requirements", requirements.len(), LIST)?;
    for (key, value) in requirements {
        text("requirements", key)?;
        if value.len() > TEXT {
            return Err(wrong("requirements", &format!("a value is longer than {TEXT} bytes; shorten it")));
        }
    }
    Ok(())
}

fn text(field: &str, value: &str) -> Result<(), Error> {
    if value.is_empty() {
        return Err(wrong(field, "is empty; give one or leave it out"));
    }
    if value.len() > TEXT {
        return Err(wrong(field, &format!("is longer than {TEXT} bytes; shorten it")));
    }
    if value.chars().any(char::is_control) {
        return Err(wrong(field, "holds a control character; leave it out"));
    }
    Ok(())
}

fn range(field: &str, amount: Option<u64>, most: u64) -> Result<(), Error> {
    match amount {
        Some(amount) if amount == 0 || amount > most => {
            Err(wrong(field, &format!("is {amount}; write 1 to {most}")))
        }
        _ => Ok(()),
    }
}

fn few(field: &str, count: usize, most: usize) -> Result<(), Error> {
    if count > most { Err(wrong(field, &format!("are {count}; at most {most} are taken"))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use archipel_model::spec::AddressAllocation;

    use super::*;

    fn net(cidr: &str, gateway: Option<&str>) -> Result<(), Error> {
        network(&NetworkSpec {
            cidr: cidr.into(),
            gateway: gateway.map(Into::into),
            allocation: AddressAllocation::Dynamic,
            mtu: None,
        })
    }

    #[test]
    fn a_gateway_must_be_an_address_within_the_range() {
        assert!(net("10.0.0.0/24", Some("10.0.0.1")).is_ok());
        assert!(net("fd00::/64", Some("fd00::1")).is_ok());
        for (cidr, gateway) in [
            ("10.0.0.0/24", "10.0.1.1"),
            ("10.0.0.0/24", "10.0.0.0"),
            ("10.0.0.0/24", "10.0.0.255"),
            ("10.0.0.0/24", "fd00::1"),
            ("10.0.0.0/24", "router"),
        ] {
            let error = net(cidr, Some(gateway)).unwrap_err();
            assert_eq!(error.details["field"], "gateway", "{gateway}");
        }
    }

    #[test]
    fn a_cidr_is_a_networks_own_address_with_a_prefix_that_leaves_room() {
        for good in ["10.0.0.0/8", "192.168.4.0/30", "fd00::/8", "128.0.0.0/1"] {
            assert!(net(good, None).is_ok(), "{good}");
        }
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.1/24",
            "10.0.0.0/31",
            "0.0.0.0/0",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0/24",
            "fd00::/127",
            "x/8",
            "10.0.0.0/4294967297",
        ] {
            assert!(net(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_and_texts_have_bounds() {
        let good = ComputeSpec {
            image: "@debian".into(),
            vcpu: Some(2),
            ram_mib: Some(2048),
            ..ComputeSpec::default()
        };
        assert!(compute(&good).is_ok());
        let bad = [
            ("image", ComputeSpec { image: String::new(), ..good.clone() }),
            ("vcpu", ComputeSpec { vcpu: Some(0), ..good.clone() }),
            ("ram_mib", ComputeSpec { ram_mib: Some(u64::MAX), ..good.clone() }),
            ("spec", ComputeSpec { spec: Some("m1".into()), ..good.clone() }),
            ("user_data", ComputeSpec { user_data: Some("x".repeat(USER_DATA + 1)), ..good.clone() }),
            (
                "networks[0].cloud_id",
                ComputeSpec { networks: vec![NetworkRef::CloudId(String::new())], ..good.clone() },
            ),
        ];
        for (field, spec) in bad {
            assert_eq!(compute(&spec).unwrap_err().details["field"], field);
        }
        assert!(compute(&ComputeSpec { user_data: Some("x".repeat(USER_DATA)), ..good }).is_ok());
        assert!(volume(&VolumeSpec { size_gib: 0, ..VolumeSpec::default() }).is_err());
        assert!(name(&"x".repeat(255)).is_ok() && name(&"x".repeat(256)).is_err() && name("a\nb").is_err());
    }

    #[test]
    fn labels_follow_their_grammar() {
        let one = |key: &str, value: &str| labels(&BTreeMap::from([(key.to_owned(), value.to_owned())]), 64);
        assert!(
            one("a", "").is_ok()
                && one("0team/x.y_z-1", "Any Text").is_ok()
                && one(&"k".repeat(63), "").is_ok()
        );
        assert!(
            one("", "").is_err()
                && one("-a", "").is_err()
                && one("A", "").is_err()
                && one(&"k".repeat(64), "").is_err()
        );
        assert!(one("a", &"v".repeat(256)).is_ok() && one("a", &"v".repeat(257)).is_err());
    }
}
