//! Times as the services write them: `2026-11-22T02:28:03Z`, with or without fractions and the `Z`. All are UTC.

/// Ms since the Unix epoch.
pub(crate) fn ms(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let clock: String = time.chars().take_while(|c| c.is_ascii_digit() || matches!(c, ':' | '.')).collect();
    let mut clock = clock.split(':');
    let (hour, minute) = (clock.next()?.parse::<u64>().ok()?, clock.next()?.parse::<u64>().ok()?);
    let (seconds, fraction) = clock.next().map(|s| s.split_once('.').unwrap_or((s, "")))?;
    let seconds: u64 = seconds.parse().ok()?;
    let millis: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let plausible = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !plausible || hour > 23 || minute > 59 || seconds > 60 {
        return None;
    }
    // Days since the epoch, after Hinnant's `days_from_civil`: the year begins in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = (365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1).checked_sub(719_468)?;
    Some((days * 86_400 + hour * 3600 + minute * 60 + seconds) * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_the_services_are_read() {
        assert_eq!(ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(ms("2015-10-21T07:28:00Z"), Some(1_445_412_480_000));
        assert_eq!(ms("2015-10-21T07:28:00.123456"), Some(1_445_412_480_123));
        assert_eq!(ms("2015-10-21T07:28:00.5"), Some(1_445_412_480_500));
        for wrong in ["", "2015-10-21", "2015-10-21T07:28", "2015-13-21T07:28:00Z", "x-10-21T07:28:00Z"] {
            assert_eq!(ms(wrong), None, "{wrong}");
        }
    }
}
