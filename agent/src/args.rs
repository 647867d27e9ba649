//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};
use k8s_sync::cluster::Connect;
use k8s_sync::lbipam::Allocation;
use k8s_sync::{Ipam, Options, RouterIds};
use lbipam::{DefaultIpam, Settings};

use crate::source::Place;

/// Keeps one node's bgpd doing what Cilium's BGP resources say.
///
/// Reads Kubernetes objects from the API server, or from a directory of manifests (YAML or JSON, watched), computes what
/// this node has to announce to whom, and hands that to bgpd as the intent of owner `kubernetes`. When the agent stops or
/// dies, or the API server is away, bgpd goes on with the last intent.
///
/// Without --manifests the API server is found through --kubeconfig, else the service account of the pod, else $KUBECONFIG,
/// else ~/.kube/config.
#[derive(Debug, Parser)]
#[command(name = "rutter-agent", version)]
pub(crate) struct Args {
    /// Name of the node this runs on, as its Node object has it.
    #[arg(long, value_name = "NAME")]
    pub(crate) node: String,
    /// Directory of manifests instead of an API server. Changes take effect within a second.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kubeconfig", "context"])]
    pub(crate) manifests: Option<PathBuf>,
    /// The kubeconfig file that says where the API server is.
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig. Absent: its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Socket of bgpd.
    #[arg(long, value_name = "PATH", default_value = rutter_api::client::DEFAULT_SOCKET)]
    pub(crate) bgpd_socket: PathBuf,
    /// Socket for the agent's own API (/v1/health, /v1/status).
    #[arg(long, value_name = "PATH", default_value = "/run/rutter/agent.sock")]
    pub(crate) socket: PathBuf,
    /// Serve the agent's own API over TCP too, readable for whoever reaches the port. Off unless given.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Whether the state of the sessions is written into the status of the node's CiliumBGPNodeConfig.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub(crate) enable_bgp_control_plane_status_report: bool,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Namespace of the Secrets with BGP passwords. Empty: passwords are not available, and peers that need one stay down.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
    bgp_secrets_namespace: String,
    /// Whether Services without endpoints are advertised.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    enable_no_service_endpoints_routable: bool,
    /// Whether routes to load-balancer addresses have ORIGIN incomplete, as before Cilium 1.17.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    enable_bgp_legacy_origin_attribute: bool,
    /// Serve only Services with this label service.kubernetes.io/service-proxy-name. Empty: those without the label.
    #[arg(long, value_name = "NAME", default_value = "")]
    k8s_service_proxy_name: String,
    /// Whether IPv4 addresses of Services are advertised.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    enable_ipv4: bool,
    /// Whether IPv6 addresses of Services are advertised.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    enable_ipv6: bool,
    /// IPAM mode: any, kubernetes, cluster-pool, multi-pool or another of Cilium's. Type PodCIDR needs one of the first
    /// three, type CiliumPodIPPool needs any or multi-pool.
    #[arg(long, value_name = "MODE", default_value_t = Ipam::Any)]
    ipam: Ipam,
    /// Whether a node with the label node.kubernetes.io/exclude-from-external-load-balancers announces no
    /// LoadBalancer and External IPs. Cilium's BGP ignores the label.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    honor_exclude_from_external_load_balancers: bool,
    /// With --manifests: whether Services get addresses out of CiliumLoadBalancerIPPools. (From an API server it is the
    /// operator who gives them.)
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    enable_lb_ipam: bool,
    /// With --manifests: who serves a Service without loadBalancerClass.
    #[arg(long, value_enum, value_name = "WHO", default_value_t = LbServiceIpam::Lbipam)]
    default_lb_service_ipam: LbServiceIpam,
    /// With --manifests: whether Services of class io.cilium/node get addresses of nodes.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    enable_node_ipam: bool,
    /// With --manifests: the file in which given addresses are remembered. Absent: .rutter-lbipam.json in the directory, which
    /// all agents that read the directory share.
    #[arg(long, value_name = "FILE")]
    lbipam_state: Option<PathBuf>,
}

/// Who serves a Service without a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LbServiceIpam {
    /// LB IPAM.
    Lbipam,
    /// Node IPAM.
    Nodeipam,
    /// Nobody here.
    None,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Args {
    /// Where the API server is.
    pub(crate) fn connect(&self) -> Connect {
        Connect { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }

    /// The directory of manifests, if there is one.
    pub(crate) fn place(&self) -> Option<Place> {
        let settings = Settings {
            default_ipam: match self.default_lb_service_ipam {
                LbServiceIpam::Lbipam => DefaultIpam::LbIpam,
                LbServiceIpam::Nodeipam => DefaultIpam::NodeIpam,
                LbServiceIpam::None => DefaultIpam::None,
            },
            node_ipam: self.enable_node_ipam,
            ipv4: self.enable_ipv4,
            ipv6: self.enable_ipv6,
            ..Settings::default()
        };
        Some(Place {
            directory: self.manifests.clone()?,
            allocation: Allocation { lb_ipam: self.enable_lb_ipam, settings },
            state: self.lbipam_state.clone(),
        })
    }

    /// The options of translation.
    pub(crate) fn options(&self) -> Options {
        let namespace = &self.bgp_secrets_namespace;
        Options {
            secrets_namespace: (!namespace.is_empty()).then(|| namespace.clone()),
            no_service_endpoints_routable: self.enable_no_service_endpoints_routable,
            legacy_origin_attribute: self.enable_bgp_legacy_origin_attribute,
            service_proxy_name: self.k8s_service_proxy_name.clone(),
            enable_ipv4: self.enable_ipv4,
            enable_ipv6: self.enable_ipv6,
            ipam: self.ipam,
            exclude_from_load_balancers: self.honor_exclude_from_external_load_balancers,
            // The operator's choice: what it allocated stands in the CiliumBGPNodeConfig.
            router_ids: RouterIds::Node,
        }
    }
}
