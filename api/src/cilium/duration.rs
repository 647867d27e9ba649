//! Go's form of a duration, which Cilium prints: `33m26s`, `1h0m5s`, `49h30m0s`.
//!
//! Invariant: rounded to whole seconds, half up.

/// A duration in nanoseconds as Go prints it after rounding to a second.
#[must_use]
pub fn go_duration(nanoseconds: u64) -> String {
    let seconds = nanoseconds.saturating_add(500_000_000) / 1_000_000_000;
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match seconds {
        0..60 => format!("{rest}s"),
        60..3600 => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::go_duration;

    #[test]
    fn as_go_prints_it() {
        let second = 1_000_000_000;
        assert_eq!(go_duration(0), "0s");
        assert_eq!(go_duration(second / 2), "1s");
        assert_eq!(go_duration(59 * second), "59s");
        assert_eq!(go_duration(2006 * second + 1), "33m26s");
        assert_eq!(go_duration(3605 * second), "1h0m5s");
        assert_eq!(go_duration(178_200 * second), "49h30m0s");
        assert_eq!(go_duration(u64::MAX), "5124095h34m33s");
    }
}
