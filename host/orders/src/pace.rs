//! How long to wait: back-off with jitter, and what a cloud asks for.

use std::time::Duration;

use archipel_model::Error;

use crate::settings::Settings;

/// The n-th wait (from 1) of a back-off that doubles from `first` to `most`: somewhere in its upper half, so that what
/// failed together does not come back together.
pub(crate) fn backoff(first: Duration, most: Duration, n: u32) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(n.saturating_sub(1).min(20)).unwrap_or(u32::MAX));
    let whole = doubled.min(most);
    whole.div_f64(2.0).saturating_add(whole.mul_f64(rand::random::<f64>() / 2.0))
}

/// About `wait`: a tenth more or less.
pub(crate) fn about(wait: Duration) -> Duration {
    wait.mul_f64(0.9 + rand::random::<f64>() / 5.0)
}

/// Somewhere between now and `within`.
pub(crate) fn spread(within: Duration) -> Duration {
    within.mul_f64(rand::random::<f64>())
}

/// `wait`, or what the error asks for where that is longer and believable.
pub(crate) fn respecting(error: &Error, wait: Duration, settings: &Settings) -> Duration {
    let most = Settings::ms(settings.retry_after_most_ms);
    error.retry_after.map_or(wait, |asked| wait.max(asked.min(most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_back_off_doubles_up_to_its_end() {
        let (first, most) = (Duration::from_secs(1), Duration::from_secs(60));
        for n in 1..80 {
            let wait = backoff(first, most, n);
            let whole = Duration::from_secs(2_u64.saturating_pow((n - 1).min(30))).min(most);
            assert!(wait >= whole / 2 && wait <= whole, "{n}: {wait:?}");
        }
    }

    #[test]
    fn what_a_cloud_asks_for_is_respected_within_reason() {
        let settings = Settings::default();
        let asks = |s| Error::transient("busy").retry_after(Duration::from_secs(s));
        assert_eq!(respecting(&asks(7), Duration::from_secs(1), &settings), Duration::from_secs(7));
        assert_eq!(respecting(&asks(7), Duration::from_secs(9), &settings), Duration::from_secs(9));
        assert_eq!(respecting(&asks(1 << 40), Duration::from_secs(1), &settings), Duration::from_secs(3600));
    }
}
