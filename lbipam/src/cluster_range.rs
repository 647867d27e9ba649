//! Addresses that the cluster itself uses: what a pool must not cover if its owner asked for that to be checked.
//!
//! Invariant: the whole set is handed over each time, sorted, so that equal clusters give equal sets.

use std::fmt;

use ipnet::IpNet;
use serde::Serialize;

/// One range that is in use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRange {
    /// The addresses.
    pub net: IpNet,
    /// What for.
    pub what: RangeUse,
    /// By whom: kind and name, e.g. `Node w1`.
    pub of: Box<str>,
}

/// What a range is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RangeUse {
    /// Addresses of nodes.
    Node,
    /// Addresses of pods.
    Pods,
    /// Cluster IPs of Services.
    Services,
}

impl fmt::Display for RangeUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node addresses",
            Self::Pods => "pod addresses",
            Self::Services => "cluster IPs",
        })
    }
}

/// For a message: `10.244.1.0/24 (pod addresses of Node w1)`.
impl fmt::Display for ClusterRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} of {})", self.net, self.what, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whose_it_is() {
        let range = ClusterRange {
            net: "10.244.1.0/24".parse().unwrap(),
            what: RangeUse::Pods,
            of: "Node w1".into(),
        };
        assert_eq!(range.to_string(), "10.244.1.0/24 (pod addresses of Node w1)");
    }
}
