//! The command line of `rutter-operator run`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgAction, Args, ValueEnum};
use k8s_sync::cluster::Connect;
use k8s_sync::conditions::Reasons;
use k8s_sync::{Options, RouterIds};
use kube_lease::Settings;

use crate::changes::Policy;
use crate::lbipam::args::LbIpamArgs;

/// Where a pod finds the namespace that it runs in.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// What `run` is told.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The kubeconfig file. Without it: the service account of the pod, else $KUBECONFIG, else ~/.kube/config.
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig, if not its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Serve /metrics, /v1/health and /v1/status on this address, read only.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Namespace of the Secrets with BGP passwords. Empty: CiliumBGPPeerConfigs get no conditions.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
    bgp_secrets_namespace: String,
    /// Whether conditions are kept. If not, those that are there are removed.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    enable_bgp_control_plane_status_report: bool,
    /// Whose reasons conditions have: those of Cilium 1.20 and later, or of 1.19 and earlier.
    #[arg(long, value_enum, value_name = "RELEASE", default_value_t = ReasonsOf::V120)]
    bgp_condition_reasons: ReasonsOf,
    /// Where router IDs come from that no CiliumBGPNodeConfigOverride writes.
    #[arg(long, value_enum, value_name = "MODE", default_value_t = RouterIdMode::Default)]
    bgp_router_id_allocation_mode: RouterIdMode,
    /// The IPv4 CIDR out of which router IDs come in mode ip-pool.
    #[arg(long, value_name = "CIDR", default_value = "")]
    bgp_router_id_allocation_ip_pool: String,
    #[command(flatten)]
    pub(crate) lbipam: LbIpamArgs,
    /// Namespace of the Lease. Without it: the namespace of the pod, else kube-system.
    #[arg(long, value_name = "NAMESPACE")]
    k8s_namespace: Option<String>,
    /// Name of the Lease by which one of several operators leads.
    #[arg(long, value_name = "NAME", default_value = "rutter-operator")]
    pub(crate) leader_election_lease_name: String,
    /// How long the others wait after the last sign of life of the leader.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    leader_election_lease_duration: Duration,
    /// How long the leader goes on without a renewal; less than the lease duration.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    leader_election_renew_deadline: Duration,
    /// How often the leader renews and the others look. Above 2s, taking over can take longer than the lease duration and 2 s.
    #[arg(long, value_name = "TIME", default_value = "1500ms", value_parser = duration)]
    leader_election_retry_period: Duration,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Generations of reasons.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ReasonsOf {
    /// One word per outcome.
    #[value(name = "1.20")]
    V120,
    /// One word per type.
    #[value(name = "1.19")]
    V119,
}

/// Modes of router IDs.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RouterIdMode {
    /// Each node takes its IPv4 address.
    Default,
    /// One of a pool per node and instance.
    IpPool,
}

impl RunArgs {
    /// Which cluster, and as whom.
    pub(crate) fn connect(&self) -> Connect {
        Connect { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }

    /// The options of translation.
    pub(crate) fn options(&self) -> Options {
        let namespace = &self.bgp_secrets_namespace;
        Options {
            secrets_namespace: (!namespace.is_empty()).then(|| namespace.clone()),
            router_ids: match self.bgp_router_id_allocation_mode {
                RouterIdMode::Default => RouterIds::Node,
                RouterIdMode::IpPool => RouterIds::Pool(self.bgp_router_id_allocation_ip_pool.clone()),
            },
            ..Options::default()
        }
    }

    /// What to write.
    pub(crate) fn policy(&self) -> Policy {
        let reasons = match self.bgp_condition_reasons {
            ReasonsOf::V120 => Reasons::Cilium120,
            ReasonsOf::V119 => Reasons::Cilium119,
        };
        Policy { report_status: self.enable_bgp_control_plane_status_report, reasons }
    }

    /// The election.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        Settings::new(
            self.leader_election_lease_duration,
            self.leader_election_renew_deadline,
            self.leader_election_retry_period,
        )
        .context("the options --leader-election-* do not fit together")
    }

    /// Namespace of the Lease.
    pub(crate) fn namespace(&self) -> String {
        self.k8s_namespace.clone().unwrap_or_else(|| {
            let of_pod = std::fs::read_to_string(NAMESPACE_FILE).unwrap_or_default();
            match of_pod.trim() {
                "" => "kube-system".to_owned(),
                namespace => namespace.to_owned(),
            }
        })
    }
}

/// `15s`, `1500ms` or `1m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 =
        number.parse().map_err(|_overflow| format!("{text:?} is no time; write 15s or 1500ms"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3600))),
        _ => Err(format!("{text:?} is no time; write 15s or 1500ms")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "s", "15", "-1s", "1d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
