//! The words and numbers that several of FRR's layouts share: durations, dates, sizes, peers with their host names.
//!
//! Invariant: everything here is a pure function of its arguments. Dates are UTC, because a node's clock usually is and a
//! value must render the same wherever it is rendered.

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const YEAR: u64 = 365 * DAY;

/// How long a session has been in its state: `00:10:35`, from a day on `1d03h22m`, from a week on `01w2d05h`, from a year
/// on `01y02w3d`.
#[must_use]
pub fn uptime(seconds: u64) -> String {
    let (years, days) = (seconds / YEAR, seconds % YEAR / DAY);
    let (hours, minutes) = (seconds % DAY / HOUR, seconds % HOUR / MINUTE);
    match seconds {
        0..DAY => clock(seconds),
        DAY..WEEK => format!("{days}d{hours:02}h{minutes:02}m"),
        WEEK..YEAR => format!("{:02}w{}d{hours:02}h", days / 7, days % 7),
        _ => format!("{years:02}y{:02}w{}d", days / 7, days % 7),
    }
}

/// `hh:mm:ss`; hours go on counting beyond a day.
#[must_use]
pub fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / HOUR, seconds % HOUR / MINUTE, seconds % MINUTE)
}

/// A moment as `Sat Nov 21 00:09:48 2026`, in UTC; `epoch` is in seconds since 1970.
#[must_use]
pub fn date(epoch: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut days = epoch / DAY;
    let weekday = WEEKDAYS[(days % 7) as usize];
    let mut year = 1970;
    while days >= year_length(year) {
        days -= year_length(year);
        year += 1;
    }
    let mut month = 0;
    while days >= month_length(year, month) {
        days -= month_length(year, month);
        month += 1;
    }
    format!("{weekday} {} {:>2} {} {year}", MONTHS[month], days + 1, clock(epoch % DAY))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn year_length(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_length(year: u64, month: usize) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// An amount of memory: bytes up to 10 KiB, then KiB up to 10 MiB, then MiB, rounded.
#[must_use]
pub fn memory(bytes: u64) -> String {
    let (kib, mib) = (bytes >> 10, bytes >> 20);
    match bytes {
        1 => "1 byte".to_owned(),
        _ if mib > 10 => format!("{} MiB", mib + ((bytes >> 19) & 1)),
        _ if kib > 10 => format!("{} KiB", kib + ((bytes >> 9) & 1)),
        _ => format!("{bytes} bytes"),
    }
}

/// A peer with the name it told us in its FQDN capability: `leaf4(10.1.4.4)`.
#[must_use]
pub fn named(hostname: Option<&str>, address: &str) -> String {
    match hostname {
        Some(hostname) => format!("{hostname}({address})"),
        None => address.to_owned(),
    }
}

/// A next hop with the name of the peer that advertised it: `10.1.4.4(leaf4)`, the other way round.
#[must_use]
pub fn next_hop(address: std::net::IpAddr, hostname: Option<&str>) -> String {
    match hostname {
        Some(hostname) => format!("{address}({hostname})"),
        None => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(uptime(0), "00:00:00");
        assert_eq!(uptime(86_399), "23:59:59");
        assert_eq!(uptime(DAY + 3 * HOUR + 22 * MINUTE + 59), "1d03h22m");
        assert_eq!(uptime(9 * DAY + 5 * HOUR), "01w2d05h");
        assert_eq!(uptime(YEAR + 17 * DAY), "01y02w3d");
    }

    #[test]
    fn dates() {
        assert_eq!(date(0), "Thu Jan  1 00:00:00 1970");
        assert_eq!(date(1_795_219_788), "Sat Nov 21 00:09:48 2026");
        assert_eq!(date(951_782_400), "Tue Feb 29 00:00:00 2000");
        assert_eq!(date(4_107_542_399), "Sun Feb 28 23:59:59 2100");
        assert_eq!(date(4_107_542_400), "Mon Mar  1 00:00:00 2100");
    }

    #[test]
    fn sizes() {
        assert_eq!(memory(0), "0 bytes");
        assert_eq!(memory(1), "1 byte");
        assert_eq!(memory(3_584), "3584 bytes");
        assert_eq!(memory(120_280), "117 KiB");
        assert_eq!(memory(12_000_000), "11 MiB");
    }
}
