//! What two published codecs make of an UPDATE message, in bgp-wire's own values so that they can be compared.
//!
//! | oracle | what it can judge |
//! |---|---|
//! | [`rustbgpd`] | class of the message by RFC 7606, attributes, next hops, prefixes |
//! | [`netgauze`] | structure only: read, read with malformed attributes, not read; and values, by writing them again |
//!
//! Nothing but the tests of this crate uses it.

pub mod netgauze;
pub mod ours;
pub mod rustbgpd;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use bgp_wire::PathAttributes;
use ipnet::IpNet;

/// What becomes of a message (RFC 7606 §2), weakest first.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Taken as it is.
    Accept,
    /// Taken without some attribute.
    Discard,
    /// Its routes are withdrawn.
    Withdraw,
    /// The session ends.
    Reset,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Discard => "discard",
            Self::Withdraw => "withdraw",
            Self::Reset => "reset",
        })
    }
}

/// One codec's reading of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What becomes of it.
    pub class: Class,
    /// What it says, unless the session ends or all is withdrawn.
    pub content: Option<Content>,
    /// Why, for the reader of a failed test.
    pub why: String,
}

/// The content of a message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Path attributes; the next hop is with the prefixes.
    pub attributes: PathAttributes,
    /// Announced prefixes, each with its next hop.
    pub announced: BTreeSet<(IpNet, IpAddr)>,
    /// Withdrawn prefixes.
    pub withdrawn: BTreeSet<IpNet>,
}
