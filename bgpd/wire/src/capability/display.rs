//! Capabilities in words, for tables and logs.

use std::fmt;

use super::{AddPath, Capability};
use crate::family::Family;

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MultiProtocol(family) => write!(f, "multiprotocol {family}"),
            Self::RouteRefresh => f.write_str("route refresh"),
            Self::ExtendedNextHop(entries) => {
                f.write_str("extended next hop")?;
                entries
                    .iter()
                    .try_for_each(|entry| write!(f, " {} over {}", entry.nlri, afi(entry.next_hop_afi)))
            }
            Self::ExtendedMessage => f.write_str("extended message"),
            Self::Role(role) => write!(f, "role {}", u8::from(*role)),
            Self::GracefulRestart(restart) => {
                write!(f, "graceful restart {} s", restart.restart_time)?;
                if restart.restart_state {
                    f.write_str(" restarting")?;
                }
                if restart.notification {
                    f.write_str(" notification")?;
                }
                restart.families.iter().try_for_each(|(family, forwarding)| kept(f, *family, *forwarding))
            }
            Self::FourOctetAs(asn) => write!(f, "four-octet AS {asn}"),
            Self::AddPath(entries) => {
                f.write_str("ADD-PATH")?;
                entries.iter().try_for_each(|entry| write!(f, " {} {}", entry.family, directions(entry)))
            }
            Self::EnhancedRouteRefresh => f.write_str("enhanced route refresh"),
            Self::LongLivedGracefulRestart(entries) => {
                f.write_str("long-lived graceful restart")?;
                entries.iter().try_for_each(|entry| {
                    kept(f, entry.family, entry.forwarding)?;
                    write!(f, " {} s", entry.stale_time)
                })
            }
            Self::Fqdn { host, domain } if domain.is_empty() => write!(f, "host name {host}"),
            Self::Fqdn { host, domain } => write!(f, "host name {host}.{domain}"),
            Self::SoftwareVersion(version) => write!(f, "software {version}"),
            Self::Unknown { code, value } => write!(f, "code {code} ({} octets)", value.len()),
        }
    }
}

fn kept(f: &mut fmt::Formatter<'_>, family: Family, forwarding: bool) -> fmt::Result {
    write!(f, " {family}")?;
    if forwarding { f.write_str(" (forwarding)") } else { Ok(()) }
}

fn directions(entry: &AddPath) -> &'static str {
    match (entry.mode.sends(), entry.mode.receives()) {
        (true, true) => "send and receive",
        (true, false) => "send",
        (false, true) => "receive",
        (false, false) => "undefined",
    }
}

fn afi(afi: u16) -> String {
    match afi {
        1 => "IPv4".to_owned(),
        2 => "IPv6".to_owned(),
        other => format!("AFI {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AddPathMode, ExtendedNextHop, GracefulRestart, LongLivedFamily};
    use super::*;

    #[test]
    fn in_words() {
        let v4 = Family::IPV4_UNICAST;
        let restart = GracefulRestart {
            restart_state: true,
            notification: true,
            restart_time: 120,
            families: vec![(v4, true)],
        };
        let long = LongLivedFamily { family: v4, forwarding: false, stale_time: 60 };
        let rows = [
            (Capability::MultiProtocol(v4), format!("multiprotocol {v4}")),
            (
                Capability::ExtendedNextHop(vec![ExtendedNextHop::IPV4_OVER_IPV6]),
                format!("extended next hop {v4} over IPv6"),
            ),
            (
                Capability::GracefulRestart(restart),
                format!("graceful restart 120 s restarting notification {v4} (forwarding)"),
            ),
            (Capability::RouteRefresh, "route refresh".to_owned()),
            (Capability::FourOctetAs(65001), "four-octet AS 65001".to_owned()),
            (
                Capability::AddPath(vec![AddPath { family: v4, mode: AddPathMode::Send }]),
                format!("ADD-PATH {v4} send"),
            ),
            (
                Capability::LongLivedGracefulRestart(vec![long]),
                format!("long-lived graceful restart {v4} 60 s"),
            ),
            (Capability::Fqdn { host: "w1".to_owned(), domain: String::new() }, "host name w1".to_owned()),
            (Capability::Unknown { code: 200, value: vec![1, 2].into() }, "code 200 (2 octets)".to_owned()),
        ];
        for (capability, words) in rows {
            assert_eq!(capability.to_string(), words);
            let octets = capability.to_octets().expect("a short value");
            assert_eq!(Capability::from_octets(&octets).expect("what was written"), capability);
            let longer = [&octets[..], &[0]].concat();
            assert!(Capability::from_octets(&longer).is_err());
            assert!(Capability::from_octets(&octets[..1]).is_err());
        }
    }
}
