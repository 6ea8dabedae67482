//! Logins per client address: a token bucket each, in memory. It slows guessing; it is the truth of nothing, so a
//! restart may forget it. An IPv6 client counts as its /64, because that is what one customer gets.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use archipel_model::Timestamp;
use moka::sync::Cache;

/// Addresses that are remembered at once; the least used are forgotten. Bounds memory.
const ADDRESSES: u64 = 65_536;
/// An address that was quiet for so long has a full bucket again, so it need not be remembered.
const IDLE: Duration = Duration::from_secs(600);

struct Bucket {
    tokens: f64,
    filled_at: Timestamp,
}

/// How many logins each address has left.
pub(crate) struct LoginRate {
    per_second: f64,
    burst: f64,
    buckets: Cache<String, Arc<Mutex<Bucket>>>,
}

impl LoginRate {
    pub(crate) fn new(per_second: f64, burst: u32) -> Self {
        Self {
            per_second: per_second.max(0.001),
            burst: f64::from(burst.max(1)),
            buckets: Cache::builder().max_capacity(ADDRESSES).time_to_idle(IDLE).build(),
        }
    }

    /// Takes one login from the address's bucket, or says how long to wait for the next.
    pub(crate) fn take(&self, address: Option<&str>, now: Timestamp) -> Result<(), Duration> {
        let key = address.map_or_else(String::new, network_of);
        let full = || Arc::new(Mutex::new(Bucket { tokens: self.burst, filled_at: now }));
        let bucket = self.buckets.get_with(key, full);
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = now.since(bucket.filled_at).as_secs_f64() * self.per_second;
        bucket.tokens = (bucket.tokens + gained).min(self.burst);
        bucket.filled_at = bucket.filled_at.max(now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.tokens) / self.per_second))
    }
}

/// The address without a port.
pub(crate) fn host_of(address: &str) -> String {
    address.parse::<SocketAddr>().map_or_else(|_| address.to_owned(), |socket| socket.ip().to_string())
}

fn network_of(address: &str) -> String {
    let host = host_of(address);
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).to_string(),
        },
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_burst_and_then_its_rate() {
        let rate = LoginRate::new(10.0, 3);
        let now = Timestamp::from_millis(1_000_000);
        for _ in 0..3 {
            rate.take(Some("192.0.2.1:1000"), now).unwrap();
        }
        assert_eq!(rate.take(Some("192.0.2.1:2000"), now), Err(Duration::from_millis(100)));
        rate.take(Some("192.0.2.2:1000"), now).unwrap();
        rate.take(Some("192.0.2.1"), now.plus(Duration::from_millis(100))).unwrap();
        assert!(rate.take(Some("192.0.2.1"), now).is_err(), "a clock that goes back gives nothing");
    }

    #[test]
    fn neighbours_in_one_ipv6_network_share_a_bucket() {
        assert_eq!(network_of("[2001:db8::1]:443"), network_of("2001:db8::ffff"));
        assert_ne!(network_of("2001:db8::1"), network_of("2001:db8:0:1::1"));
        assert_eq!(network_of("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
