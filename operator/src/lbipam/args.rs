//! The options of LB IPAM and Node IPAM, named as Cilium names its own where it has one.

use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use jiff::SignedDuration;
use k8s_sync::cluster::Parts;
use k8s_sync::lbipam::Allocation;
use lbipam::{DefaultIpam, Settings};

use crate::args::duration;

/// What `run` and `plan` are told about addresses.
#[derive(Debug, Args)]
#[command(next_help_heading = "Addresses of Services")]
pub(crate) struct LbIpamArgs {
    /// Whether Services get addresses out of CiliumLoadBalancerIPPools. Off: nothing is given, and nothing taken away.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    enable_lb_ipam: bool,
    /// Who serves Services without a loadBalancerClass.
    #[arg(long, value_enum, value_name = "WHO", default_value_t = DefaultService::Lbipam)]
    default_lb_service_ipam: DefaultService,
    /// Whether Services of class io.cilium/node get addresses of nodes.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    enable_node_ipam: bool,
    /// Whether the cluster has IPv4.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    enable_ipv4: bool,
    /// Whether the cluster has IPv6.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    enable_ipv6: bool,
    /// Whether Services of class io.cilium/bgp-control-plane are served.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    enable_bgp_control_plane: bool,
    /// Whether Services of class io.cilium/l2-announcer are served.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    enable_l2_announcements: bool,
    /// How long Services keep their addresses after their pool was deleted, so that a pool can be renamed or made anew.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    lbipam_pool_grace: Duration,
    /// The longest time for which a Service that is gone may have its addresses kept (its annotation
    /// rutter.dev/reservation-grace). 0: never.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    lbipam_reservation_grace_limit: Duration,
    /// Edits of pools that would move addresses wait until they are confirmed (per pool: annotation rutter.dev/safe-shrink).
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    lbipam_safe_shrink: bool,
    /// Pools that cover addresses of nodes, pods or ClusterIPs give nothing (per pool: rutter.dev/refuse-cluster-ranges).
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    lbipam_refuse_cluster_ranges: bool,
    /// Warn when a pool will be full in fewer days than this, at its rate (per pool: rutter.dev/forecast-days). 0: never.
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    lbipam_forecast_days: u32,
}

/// Who serves Services without a class.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum DefaultService {
    /// LB IPAM.
    Lbipam,
    /// Node IPAM.
    Nodeipam,
    /// Nobody here.
    None,
}

impl LbIpamArgs {
    /// Whether pools are served.
    pub(crate) fn enabled(&self) -> bool {
        self.enable_lb_ipam
    }

    /// What the allocator is told.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            default_ipam: match self.default_lb_service_ipam {
                DefaultService::Lbipam => DefaultIpam::LbIpam,
                DefaultService::Nodeipam => DefaultIpam::NodeIpam,
                DefaultService::None => DefaultIpam::None,
            },
            bgp_class: self.enable_bgp_control_plane,
            l2_class: self.enable_l2_announcements,
            node_ipam: self.enable_node_ipam,
            ipv4: self.enable_ipv4,
            ipv6: self.enable_ipv6,
            grace: SignedDuration::try_from(self.lbipam_pool_grace).unwrap_or(SignedDuration::MAX),
            reservation_grace_limit: SignedDuration::try_from(self.lbipam_reservation_grace_limit)
                .unwrap_or(SignedDuration::MAX),
            safe_shrink: self.lbipam_safe_shrink,
            refuse_cluster_ranges: self.lbipam_refuse_cluster_ranges,
            forecast_days: (self.lbipam_forecast_days > 0).then_some(self.lbipam_forecast_days),
        }
    }

    /// The same for a directory of manifests.
    pub(crate) fn allocation(&self) -> Allocation {
        Allocation { lb_ipam: self.enable_lb_ipam, settings: self.settings() }
    }

    /// What has to be read before anything is decided.
    pub(crate) fn decisive_parts(&self) -> Parts {
        Parts { cluster_ranges: self.enable_lb_ipam && self.lbipam_refuse_cluster_ranges, ..self.parts() }
    }

    /// What is read. Ranges of the cluster are read for pools that ask for it by an annotation, too.
    pub(crate) fn parts(&self) -> Parts {
        Parts {
            bgp: false,
            lb_ipam: self.enable_lb_ipam,
            node_ipam: self.enable_node_ipam,
            cluster_ranges: self.enable_lb_ipam,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: LbIpamArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_allocator() {
        assert_eq!(Line::parse_from(["x"]).args.settings(), Settings::default());
    }

    #[test]
    fn switches_take_a_value_or_none() {
        let line = ["x", "--enable-node-ipam", "--enable-lb-ipam=false", "--lbipam-forecast-days", "7"];
        let args = Line::parse_from(line).args;
        assert_eq!(
            (args.settings().node_ipam, args.enabled(), args.settings().forecast_days),
            (true, false, Some(7))
        );
        let line = ["x", "--default-lb-service-ipam", "nodeipam", "--lbipam-pool-grace=2m"];
        let settings = Line::parse_from(line).args.settings();
        assert_eq!((settings.default_ipam, settings.grace.as_secs()), (DefaultIpam::NodeIpam, 120));
    }
}
