//! Durations as Go and Kubernetes write them: `90s`, `1h30m`, `1.5h`.
//!
//! Invariant: what is read is exact to the nanosecond or refused; nothing is guessed.

use jiff::SignedDuration;

/// From text; none if it is no duration, or a negative one.
#[must_use]
pub fn parse(text: &str) -> Option<SignedDuration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    let mut sum: u128 = 0;
    loop {
        let (number, after) = split(rest, |byte| byte.is_ascii_digit() || byte == b'.');
        let (unit, after) = split(after, |byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
        let nanoseconds: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        sum = sum.checked_add(scaled(number, nanoseconds)?)?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let seconds = i64::try_from(sum / 1_000_000_000).ok()?;
    let rest = i32::try_from(sum % 1_000_000_000).ok()?;
    Some(SignedDuration::new(seconds, rest))
}

/// As Go writes it, whole seconds: `1h0m0s`, `30s`.
#[must_use]
pub fn text(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn split(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len());
    text.split_at(end)
}

/// A decimal number of units; what is smaller than a nanosecond is cut off.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || fraction.len() > 15 {
        return None;
    }
    let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() };
    let power = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    parse(whole)?.checked_mul(unit)?.checked_add(parse(fraction)?.checked_mul(unit)? / power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_reads_them() {
        for (text, seconds, nanoseconds) in [
            ("0", 0, 0),
            ("0s", 0, 0),
            ("90s", 90, 0),
            (" 1h30m ", 5400, 0),
            ("1.5h", 5400, 0),
            (".5s", 0, 500_000_000),
            ("1h0m0.25s", 3600, 250_000_000),
            ("1us1µs1μs", 0, 3_000),
            ("15ms", 0, 15_000_000),
        ] {
            assert_eq!(parse(text), Some(SignedDuration::new(seconds, nanoseconds)), "{text}");
        }
        for text in [
            "",
            " ",
            "1",
            "-1h",
            "h",
            "1d",
            "1h30",
            "1..5h",
            ".h",
            "1h 30m",
            "ten",
            "9999999999999999999h",
            "1é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn as_go_writes_them() {
        for seconds in ["0s", "59s", "1m0s", "1h0m0s", "24h0m1s"] {
            assert_eq!(text(parse(seconds).unwrap()), seconds);
        }
    }
}
