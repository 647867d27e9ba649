//! One entry of `spec.blocks`: a range of addresses, or why it is none.
//!
//! Invariant: a block that is not understood is named and set aside; it is never guessed at, and the blocks beside it are
//! none of its business. The schema lets all of these through.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use rutter_crds::CiliumLoadBalancerIPPoolIPBlock;
use thiserror::Error;

use crate::range::Range;
use crate::selector::shortened;

/// A block that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its place in `spec.blocks`, from 0.
    pub index: usize,
    /// Its addresses.
    pub range: Range,
    /// Whether it is written as a CIDR. The edges of ranges are always given out.
    pub is_cidr: bool,
}

/// A block that is not understood. The text says what is wrong and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadBlock {
    /// Neither `cidr` nor `start`.
    #[error("is empty: write cidr, or start, or start and stop")]
    Empty,
    /// `stop` alone.
    #[error("has stop {stop:?} and no start: add start, or write start: {stop:?} if one address is meant")]
    StopWithoutStart {
        /// As written.
        stop: Box<str>,
    },
    /// `cidr` without a length.
    #[error("cidr {cidr:?} is an address: write cidr: \"{cidr}/{length}\" or start: {cidr:?}")]
    CidrWithoutLength {
        /// As written.
        cidr: Box<str>,
        /// The length that makes it a CIDR of one address.
        length: u8,
    },
    /// `cidr` is no CIDR.
    #[error("cidr {cidr:?} is no CIDR: write it like 10.0.0.0/24 or 2001:db8::/64")]
    CidrUnparsable {
        /// As written.
        cidr: Box<str>,
    },
    /// `start` or `stop` is no address.
    #[error("{field} {text:?} is no address: write it like 10.0.0.1 or 2001:db8::1")]
    Unparsable {
        /// `start` or `stop`.
        field: &'static str,
        /// As written.
        text: Box<str>,
    },
    /// IPv4 with leading zeros, which some programs read as octal.
    #[error("{field} {text:?} has leading zeros, which may be read as octal: write {instead}")]
    LeadingZeros {
        /// `cidr`, `start` or `stop`.
        field: &'static str,
        /// As written.
        text: Box<str>,
        /// The same without them.
        instead: Box<str>,
    },
    /// IPv4 in the clothes of IPv6, which no Service status can hold.
    #[error("{field} {text:?} is IPv4 written as IPv6, which no Service can have: write {instead}")]
    Mapped {
        /// `cidr`, `start` or `stop`.
        field: &'static str,
        /// As written.
        text: Box<str>,
        /// The IPv4 of it.
        instead: Box<str>,
    },
    /// The ends are of two families.
    #[error("goes from {start} to {stop}, which are of two families: write one block for each family")]
    MixedFamilies {
        /// The first address.
        start: IpAddr,
        /// The last address.
        stop: IpAddr,
    },
    /// The ends are the wrong way round.
    #[error("starts at {start}, after its stop {stop}: write start: {stop}, stop: {start} if that is meant")]
    Backwards {
        /// The first address.
        start: IpAddr,
        /// The last address.
        stop: IpAddr,
    },
}

impl Block {
    /// From the object. A CIDR wins over start and stop, its host bits are cut off.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(index: usize, block: &CiliumLoadBalancerIPPoolIPBlock) -> Result<Self, BadBlock> {
        let field = |field: &'_ Option<String>| field.clone().filter(|text| !text.is_empty());
        match (field(&block.cidr), field(&block.start), field(&block.stop)) {
            (Some(cidr), _, _) => Ok(Self { index, range: parse_cidr(&cidr)?, is_cidr: true }),
            (None, Some(start), stop) => {
                let start = parse_address("start", &start)?;
                let stop = stop.map_or(Ok(start), |stop| parse_address("stop", &stop))?;
                let range = Range::new(start, stop).ok_or_else(|| {
                    if start.is_ipv4() == stop.is_ipv4() {
                        BadBlock::Backwards { start, stop }
                    } else {
                        BadBlock::MixedFamilies { start, stop }
                    }
                })?;
                Ok(Self { index, range, is_cidr: false })
            }
            (None, None, Some(stop)) => Err(BadBlock::StopWithoutStart { stop: shortened(&stop) }),
            (None, None, None) => Err(BadBlock::Empty),
        }
    }

    /// The first and the last address, if `allowFirstLastIPs: No` takes them out: only those of CIDRs that have more.
    #[must_use]
    pub fn edges(&self) -> Option<[IpAddr; 2]> {
        let inner = self.range.last_number() - self.range.first_number();
        (self.is_cidr && inner >= 2).then(|| [self.range.first(), self.range.last()])
    }
}

fn parse_cidr(text: &str) -> Result<Range, BadBlock> {
    let Some(net) = network(text) else {
        if let Some(instead) = without_leading_zeros(text).filter(|text| network(text).is_some()) {
            return Err(BadBlock::LeadingZeros { field: "cidr", text: shortened(text), instead });
        }
        return Err(match parse_address("cidr", text) {
            Ok(address) => BadBlock::CidrWithoutLength {
                cidr: shortened(text),
                length: if address.is_ipv4() { 32 } else { 128 },
            },
            Err(BadBlock::Unparsable { .. }) => BadBlock::CidrUnparsable { cidr: shortened(text) },
            Err(problem) => problem,
        });
    };
    if let IpNet::V6(net) = net
        && let Some(v4) = net.network().to_ipv4_mapped()
        && let Some(length) = net.prefix_len().checked_sub(96)
    {
        let instead = format!("{v4}/{length}").into();
        return Err(BadBlock::Mapped { field: "cidr", text: shortened(text), instead });
    }
    Range::new(net.network(), net.broadcast())
        .ok_or_else(|| BadBlock::CidrUnparsable { cidr: shortened(text) })
}

/// A CIDR as the standard library reads addresses: the parser of `ipnet` takes leading zeros.
fn network(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let plain =
        length.bytes().all(|byte| byte.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
    IpNet::new(address.parse().ok()?, length.parse().ok().filter(|_| plain)?).ok()
}

fn parse_address(field: &'static str, text: &str) -> Result<IpAddr, BadBlock> {
    let mapped = |address: &IpAddr| match address {
        IpAddr::V6(address) => Ipv6Addr::to_ipv4_mapped(address),
        IpAddr::V4(_) => None,
    };
    match text.parse::<IpAddr>() {
        Ok(address) => match mapped(&address) {
            Some(v4) => {
                Err(BadBlock::Mapped { field, text: shortened(text), instead: v4.to_string().into() })
            }
            None => Ok(address),
        },
        Err(_) => Err(match without_leading_zeros(text).filter(|text| text.parse::<IpAddr>().is_ok()) {
            Some(instead) => BadBlock::LeadingZeros { field, text: shortened(text), instead },
            None => BadBlock::Unparsable { field, text: shortened(text) },
        }),
    }
}

/// Dotted decimal without the zeros in front of its parts; none if it had none, or is not dotted decimal at all.
fn without_leading_zeros(text: &str) -> Option<Box<str>> {
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let parts: Vec<&str> = address
        .split('.')
        .map(|part| match part.trim_start_matches('0') {
            "" if !part.is_empty() => "0",
            part => part,
        })
        .collect();
    let address = parts.join(".");
    let instead = length.map_or_else(|| address.clone(), |length| format!("{address}/{length}"));
    (parts.len() == 4 && instead != text).then(|| instead.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(block: serde_json::Value) -> Result<String, String> {
        let block = serde_json::from_value(block).unwrap();
        match Block::parse(0, &block) {
            Ok(block) => Ok(block.range.to_string()),
            Err(bad) => Err(bad.to_string()),
        }
    }

    #[test]
    fn forms_that_are_understood() {
        for (block, range) in [
            (json!({"cidr": "10.0.0.0/24"}), "10.0.0.0 - 10.0.0.255"),
            (json!({"cidr": "10.0.0.12/24"}), "10.0.0.0 - 10.0.0.255"),
            (json!({"cidr": "10.0.0.12/32"}), "10.0.0.12 - 10.0.0.12"),
            (json!({"cidr": "fd00::/64"}), "fd00:: - fd00::ffff:ffff:ffff:ffff"),
            (json!({"cidr": "::/0"}), ":: - ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            (json!({"cidr": "0.0.0.0/0"}), "0.0.0.0 - 255.255.255.255"),
            // Ends where IPv4 in IPv6 begins, and is not that.
            (json!({"cidr": "::/80"}), ":: - ::ffff:255.255.255.255"),
            (json!({"start": "10.0.0.5"}), "10.0.0.5 - 10.0.0.5"),
            (json!({"start": "10.0.0.5", "stop": ""}), "10.0.0.5 - 10.0.0.5"),
            (json!({"start": "10.0.0.5", "stop": "10.0.1.5"}), "10.0.0.5 - 10.0.1.5"),
            (json!({"start": "fd00::", "stop": "fd00::f"}), "fd00:: - fd00::f"),
            // A CIDR wins, whatever else the block says.
            (json!({"cidr": "10.0.0.0/31", "start": "11.0.0.0"}), "10.0.0.0 - 10.0.0.1"),
            (json!({"cidr": "10.0.0.0/31", "start": "x", "stop": "y"}), "10.0.0.0 - 10.0.0.1"),
            (json!({"cidr": "", "start": "11.0.0.0"}), "11.0.0.0 - 11.0.0.0"),
        ] {
            assert_eq!(parse(block.clone()), Ok(range.to_owned()), "{block}");
        }
    }

    #[test]
    fn forms_that_are_not_say_what_to_write_instead() {
        for (block, text) in [
            (json!({}), "is empty: write cidr, or start, or start and stop"),
            (
                json!({"cidr": "", "start": "", "stop": ""}),
                "is empty: write cidr, or start, or start and stop",
            ),
            (
                json!({"stop": "10.0.0.9"}),
                "has stop \"10.0.0.9\" and no start: add start, or write start: \"10.0.0.9\" if one address is meant",
            ),
            (
                json!({"start": "10.0.0.9", "stop": "10.0.0.5"}),
                "starts at 10.0.0.9, after its stop 10.0.0.5: write start: 10.0.0.5, stop: 10.0.0.9 if that is meant",
            ),
            (
                json!({"start": "10.0.0.9", "stop": "fd00::9"}),
                "goes from 10.0.0.9 to fd00::9, which are of two families: write one block for each family",
            ),
            (json!({"start": "ten"}), "start \"ten\" is no address: write it like 10.0.0.1 or 2001:db8::1"),
            (
                json!({"start": "10.0.0.1", "stop": "10.0.0.256"}),
                "stop \"10.0.0.256\" is no address: write it like 10.0.0.1 or 2001:db8::1",
            ),
            (
                json!({"start": "fe80::1%eth0"}),
                "start \"fe80::1%eth0\" is no address: write it like 10.0.0.1 or 2001:db8::1",
            ),
            (
                json!({"cidr": "010.0.0.0/24"}),
                "cidr \"010.0.0.0/24\" has leading zeros, which may be read as octal: write 10.0.0.0/24",
            ),
            (
                json!({"start": "10.0.0.00"}),
                "start \"10.0.0.00\" has leading zeros, which may be read as octal: write 10.0.0.0",
            ),
            (
                json!({"cidr": "::ffff:10.0.0.0/120"}),
                "cidr \"::ffff:10.0.0.0/120\" is IPv4 written as IPv6, which no Service can have: write 10.0.0.0/24",
            ),
            (
                json!({"cidr": "::ffff:10.0.0.0/96"}),
                "cidr \"::ffff:10.0.0.0/96\" is IPv4 written as IPv6, which no Service can have: write 0.0.0.0/0",
            ),
            (
                json!({"start": "::ffff:10.0.0.1"}),
                "start \"::ffff:10.0.0.1\" is IPv4 written as IPv6, which no Service can have: write 10.0.0.1",
            ),
            (
                json!({"cidr": "10.0.0.1"}),
                "cidr \"10.0.0.1\" is an address: write cidr: \"10.0.0.1/32\" or start: \"10.0.0.1\"",
            ),
            (
                json!({"cidr": "fd00::1"}),
                "cidr \"fd00::1\" is an address: write cidr: \"fd00::1/128\" or start: \"fd00::1\"",
            ),
            (
                json!({"cidr": "10.0.0.0/33"}),
                "cidr \"10.0.0.0/33\" is no CIDR: write it like 10.0.0.0/24 or 2001:db8::/64",
            ),
            // A broken CIDR is not replaced by the range beside it.
            (
                json!({"cidr": "nonsense", "start": "10.0.0.1"}),
                "cidr \"nonsense\" is no CIDR: write it like 10.0.0.0/24 or 2001:db8::/64",
            ),
        ] {
            assert_eq!(parse(block.clone()), Err(text.to_owned()), "{block}");
        }
    }

    #[test]
    fn edges_are_those_of_cidrs_that_have_more() {
        let edges = |block: serde_json::Value| {
            let block = Block::parse(0, &serde_json::from_value(block).unwrap()).unwrap();
            block.edges().map(|edges| edges.map(|edge| edge.to_string()))
        };
        let some = |first: &str, last: &str| Some([first.to_owned(), last.to_owned()]);
        assert_eq!(edges(json!({"cidr": "10.0.0.0/24"})), some("10.0.0.0", "10.0.0.255"));
        assert_eq!(edges(json!({"cidr": "10.0.0.0/30"})), some("10.0.0.0", "10.0.0.3"));
        assert_eq!(edges(json!({"cidr": "fd00::/126"})), some("fd00::", "fd00::3"));
        for exempt in ["10.0.0.0/31", "10.0.0.0/32", "fd00::/127", "fd00::/128"] {
            assert_eq!(edges(json!({"cidr": exempt})), None, "{exempt}");
        }
        assert_eq!(edges(json!({"start": "10.0.0.0", "stop": "10.0.0.255"})), None);
    }
}
