//! What an administrator decides for the whole cluster: flags of the operator, named as Cilium names its own.

use jiff::SignedDuration;

use crate::service::Family;

/// Who serves a Service without `loadBalancerClass` (`default-lb-service-ipam`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultIpam {
    /// LB IPAM.
    #[default]
    LbIpam,
    /// Node IPAM.
    NodeIpam,
    /// Nobody here.
    None,
}

/// Settings of allocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Who serves Services without a class.
    pub default_ipam: DefaultIpam,
    /// Whether `io.cilium/bgp-control-plane` is ours.
    pub bgp_class: bool,
    /// Whether `io.cilium/l2-announcer` is ours.
    pub l2_class: bool,
    /// Whether Node IPAM (`io.cilium/node`) is on.
    pub node_ipam: bool,
    /// Whether the cluster has IPv4 (`enable-ipv4`).
    pub ipv4: bool,
    /// Whether the cluster has IPv6 (`enable-ipv6`).
    pub ipv6: bool,
    /// How long Services keep addresses that no pool covers any more because their pool was deleted.
    pub grace: SignedDuration,
    /// The longest time for which addresses are kept for a Service that is gone because it asked for that
    /// (`rutter.dev/reservation-grace`); zero: never.
    pub reservation_grace_limit: SignedDuration,
    /// Whether every pool behaves as if annotated `rutter.dev/safe-shrink: "true"`.
    pub safe_shrink: bool,
    /// Whether every pool behaves as if annotated `rutter.dev/refuse-cluster-ranges: "true"`.
    pub refuse_cluster_ranges: bool,
    /// Below how many days to exhaustion a pool warns, if it has no `rutter.dev/forecast-days` of its own. Absent: never.
    pub forecast_days: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_ipam: DefaultIpam::LbIpam,
            bgp_class: true,
            l2_class: true,
            node_ipam: false,
            ipv4: true,
            ipv6: true,
            grace: SignedDuration::from_secs(30),
            reservation_grace_limit: SignedDuration::from_hours(24),
            safe_shrink: false,
            refuse_cluster_ranges: false,
            forecast_days: None,
        }
    }
}

impl Settings {
    /// Whether the cluster has a family.
    #[must_use]
    pub fn has(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.ipv4,
            Family::V6 => self.ipv6,
        }
    }
}
