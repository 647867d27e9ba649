//! What the administrator of a node or cluster decides for all objects: Cilium's own switches, by their names.

/// Options of translation. The defaults are Cilium's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Namespace of the Secrets with BGP passwords (`bgp-secrets-namespace`). Absent: passwords are not available.
    pub secrets_namespace: Option<String>,
    /// Whether a Service without endpoints is advertised (`enable-no-service-endpoints-routable`).
    pub no_service_endpoints_routable: bool,
    /// Whether routes to load-balancer addresses say INCOMPLETE (`enable-bgp-legacy-origin-attribute`).
    pub legacy_origin_attribute: bool,
    /// The service proxy whose Services are ours (`k8s-service-proxy-name`). Empty: those that name none.
    pub service_proxy_name: String,
    /// Whether IPv4 addresses of Services are served (`enable-ipv4`).
    pub enable_ipv4: bool,
    /// Whether IPv6 addresses of Services are served (`enable-ipv6`).
    pub enable_ipv6: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            secrets_namespace: Some("kube-system".to_owned()),
            no_service_endpoints_routable: true,
            legacy_origin_attribute: false,
            service_proxy_name: String::new(),
            enable_ipv4: true,
            enable_ipv6: true,
        }
    }
}
