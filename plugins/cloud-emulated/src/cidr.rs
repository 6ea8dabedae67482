//! IPv4 ranges: parsing, and the addresses that a network may give away.

use archipel_sdk::{Error, Result};
use std::net::Ipv4Addr;

/// An IPv4 range of 2 to 24 host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    base: u32,
    bits: u8,
}

impl Cidr {
    /// Parses `10.0.0.0/8` to `10.0.0.0/30`; the host part must be zero.
    pub(crate) fn parse(text: &str) -> Result<Cidr> {
        let wrong = || Error::invalid(format!("`{text}` is no address range; write it like 10.0.0.0/24"));
        let (base, bits) = text.split_once('/').ok_or_else(wrong)?;
        if base.contains(':') {
            return Err(Error::unsupported(format!("`{text}`: this cloud has IPv4 networks only")));
        }
        let base = u32::from(base.parse::<Ipv4Addr>().map_err(|_| wrong())?);
        let bits: u8 = bits.parse().map_err(|_| wrong())?;
        if !(8..=30).contains(&bits) {
            return Err(Error::invalid(format!("`{text}`: choose a range between /8 and /30")));
        }
        let cidr = Cidr { base, bits };
        if base & (cidr.size() - 1) != 0 {
            let right = Ipv4Addr::from(base & !(cidr.size() - 1));
            return Err(Error::invalid(format!(
                "`{text}` has bits set beyond /{bits}; did you mean {right}/{bits}?"
            )));
        }
        Ok(cidr)
    }

    /// How many addresses can be given away: without network, gateway and broadcast.
    pub(crate) fn room(self) -> u32 {
        self.size() - 3
    }

    /// The address at `index` (below `room`), skipping the gateway.
    pub(crate) fn address(self, index: u32, gateway: Ipv4Addr) -> Ipv4Addr {
        let plain = self.base + 1 + index;
        Ipv4Addr::from(if plain >= u32::from(gateway) { plain + 1 } else { plain })
    }

    /// The first address of the range, which is the gateway unless somebody says otherwise.
    pub(crate) fn first(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// Parses a gateway, which must be an address of this range that a machine could have.
    pub(crate) fn gateway(self, text: &str) -> Result<Ipv4Addr> {
        let last = self.base + self.size() - 1;
        text.parse::<Ipv4Addr>()
            .ok()
            .filter(|ip| u32::from(*ip) > self.base && u32::from(*ip) < last)
            .ok_or_else(|| Error::invalid(format!("gateway `{text}` is no host address of {self}")))
    }

    fn size(self) -> u32 {
        1 << (32 - u32::from(self.bits))
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_index_is_another_host_address_and_none_is_the_gateway() {
        for gateway in ["10.0.0.17", "10.0.0.18", "10.0.0.30"] {
            let cidr = Cidr::parse("10.0.0.16/28").unwrap();
            let gateway = cidr.gateway(gateway).unwrap();
            let all: BTreeSet<_> = (0..cidr.room()).map(|index| cidr.address(index, gateway)).collect();
            assert_eq!(all.len(), 13);
            assert!(!all.contains(&gateway));
            assert_eq!(*all.first().unwrap() >= Ipv4Addr::new(10, 0, 0, 17), true);
            assert!(*all.last().unwrap() <= Ipv4Addr::new(10, 0, 0, 30));
        }
    }

    #[test]
    fn ranges_that_nobody_can_mean_are_refused_with_words() {
        for (text, words) in [
            ("10.0.0.0", "is no address range"),
            ("10.0.0.1/24", "did you mean 10.0.0.0/24"),
            ("10.0.0.0/31", "between /8 and /30"),
            ("fd00::/64", "IPv4 networks only"),
        ] {
            assert!(Cidr::parse(text).unwrap_err().message().contains(words), "{text}");
        }
    }

    #[test]
    fn a_gateway_outside_its_network_is_refused() {
        let cidr = Cidr::parse("10.0.0.0/24").unwrap();
        for text in ["10.0.1.1", "10.0.0.0", "10.0.0.255", "x"] {
            assert!(cidr.gateway(text).is_err(), "{text}");
        }
    }
}
