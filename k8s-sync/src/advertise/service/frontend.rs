//! Frontends: the addresses a service has, by kind, and whether each may be announced from this node.
//!
//! The rules follow Cilium's load balancer, which is where its BGP takes addresses from: a service needs ports, headless
//! and foreign-proxy services have no frontends, `externalTrafficPolicy` governs LoadBalancerIP and ExternalIP,
//! `internalTrafficPolicy` governs ClusterIP.

use std::net::IpAddr;
use std::sync::Arc;

use rutter_crds::TextSelector;
use rutter_crds::bgp_advertisement::BGPServiceAddressType;

use super::backends::Backends;
use crate::object::service::{Ingress, ServiceSpec, ServiceType};
use crate::object::{EndpointSlice, NamespacedName, Service};
use crate::options::Options;
use crate::report::Reason;
use crate::snapshot::NodeView;

const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";
const TYPE_ANNOTATION: &str = "service.cilium.io/type";
const NODE_ANNOTATION: &str = "service.cilium.io/node";
const NODE_SELECTOR_ANNOTATION: &str = "service.cilium.io/node-selector";
/// Kubernetes' own label; its presence counts, not its value. Cluster IPs are not its business.
const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Service types that [`TYPE_ANNOTATION`] may name.
const EXPOSABLE: [&str; 3] = ["ClusterIP", "NodePort", "LoadBalancer"];
const LOAD_BALANCER_CLASS: &str = "io.cilium/bgp-control-plane";

/// One service.
#[derive(Debug)]
pub(in crate::advertise) struct ServiceState {
    pub(super) name: Arc<NamespacedName>,
    pub(super) service: Arc<Service>,
    pub(super) slices: Vec<Arc<EndpointSlice>>,
    /// Why nothing of it is announced here, whatever its addresses.
    pub(super) refused: Option<Reason>,
    /// Annotations that cannot be understood and count as absent, as with Cilium.
    pub(super) ignored: Vec<Reason>,
    pub(super) backends: Backends,
    load_balancer: Addresses,
    cluster: Addresses,
    external: Addresses,
}

/// The addresses of one kind.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// The field they come from.
    pub(super) field: &'static str,
    pub(super) frontends: Vec<Frontend>,
    /// Why others, or all, are no frontends.
    pub(super) refused: Vec<(&'static str, Reason)>,
}

/// One address.
#[derive(Debug)]
pub(super) struct Frontend {
    pub(super) address: IpAddr,
    /// Whether the policy that governs it is Local.
    pub(super) local: bool,
    /// Why it is not announced here.
    pub(super) refused: Option<Reason>,
}

/// What deciding needs beside the service.
struct Rules<'r> {
    spec: &'r ServiceSpec,
    backends: Backends,
    options: &'r Options,
    /// Whether the node takes no traffic from outside the cluster.
    excluded: bool,
}

impl ServiceState {
    pub(super) fn new(
        (service, slices): (&Arc<Service>, &[Arc<EndpointSlice>]),
        node: &str,
        view: Option<&NodeView<'_>>,
        options: &Options,
    ) -> Self {
        let backends = Backends::of(service, slices, node);
        let spec = &service.spec;
        let excluded = options.exclude_from_load_balancers
            && view.is_some_and(|view| view.label(EXCLUDE_LABEL).is_some());
        let rules = Rules { spec, backends, options, excluded };
        Self {
            name: Arc::clone(&service.name),
            refused: refusal(service, spec, view, options),
            ignored: ignored_annotations(service),
            backends,
            load_balancer: rules.load_balancer(service),
            cluster: rules.cluster(service),
            external: rules.external(),
            service: Arc::clone(service),
            slices: slices.to_vec(),
        }
    }

    /// Whether it was decided from these very objects.
    pub(super) fn is_of(&self, service: &Arc<Service>, slices: &[Arc<EndpointSlice>]) -> bool {
        Arc::ptr_eq(&self.service, service)
            && self.slices.len() == slices.len()
            && self.slices.iter().zip(slices).all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// A label of the service, or one of two that stand for name and namespace.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        match key {
            "io.kubernetes.service.name" => Some(&self.name.name),
            "io.kubernetes.service.namespace" => Some(&self.name.namespace),
            _ => self.service.spec.labels.get(key),
        }
    }

    pub(super) fn addresses(&self, kind: BGPServiceAddressType) -> &Addresses {
        match kind {
            BGPServiceAddressType::LoadBalancerIP => &self.load_balancer,
            BGPServiceAddressType::ClusterIP => &self.cluster,
            BGPServiceAddressType::ExternalIP => &self.external,
        }
    }
}

/// Why a service has no frontend on this node at all.
fn refusal(
    service: &Service,
    spec: &ServiceSpec,
    view: Option<&NodeView<'_>>,
    options: &Options,
) -> Option<Reason> {
    let label = |key: &str| service.spec.labels.get(key);
    let proxy = label(PROXY_NAME_LABEL).unwrap_or_default();
    if proxy != options.service_proxy_name {
        return Some(Reason::ServiceOfOtherProxy { name: proxy.to_owned() });
    }
    if spec.headless || label(HEADLESS_LABEL).is_some() {
        return Some(Reason::ServiceHeadless);
    }
    if spec.ports.is_empty() {
        return Some(Reason::ServiceWithoutPorts);
    }
    hidden_on_node(service, view)
}

/// Annotations that keep a service off nodes; the selector one decides alone where it is present and readable.
fn hidden_on_node(service: &Service, view: Option<&NodeView<'_>>) -> Option<Reason> {
    let label = |key: &str| view?.label(key);
    if let Some(value) = annotation(service, NODE_SELECTOR_ANNOTATION) {
        let hidden = TextSelector::parse(value).is_some_and(|selector| !selector.matches(label));
        let value = value.to_owned();
        return hidden.then_some(Reason::ServiceHiddenOnNode { annotation: NODE_SELECTOR_ANNOTATION, value });
    }
    let value = annotation(service, NODE_ANNOTATION)?;
    (label(NODE_ANNOTATION) != Some(value))
        .then(|| Reason::ServiceHiddenOnNode { annotation: NODE_ANNOTATION, value: value.to_owned() })
}

/// Why the annotation `service.cilium.io/type` hides this type, if it does. It names one type.
fn not_exposed(service: &Service, kind: &'static str) -> Option<Reason> {
    let exposed = annotation(service, TYPE_ANNOTATION).filter(|exposed| EXPOSABLE.contains(exposed))?;
    (exposed != kind).then(|| Reason::ServiceTypeNotExposed { kind, exposed: exposed.to_owned() })
}

fn ignored_annotations(service: &Service) -> Vec<Reason> {
    let exposed = annotation(service, TYPE_ANNOTATION).filter(|exposed| !EXPOSABLE.contains(exposed));
    let selector =
        annotation(service, NODE_SELECTOR_ANNOTATION).filter(|text| TextSelector::parse(text).is_none());
    let exposed = exposed.map(|value| Reason::ServiceTypeUnknown { value: value.to_owned() });
    let selector = selector.map(|value| Reason::ServiceNodeSelectorInvalid { value: value.to_owned() });
    exposed.into_iter().chain(selector).collect()
}

fn annotation<'s>(service: &'s Service, key: &str) -> Option<&'s str> {
    service.spec.annotations.get(key)
}

impl Rules<'_> {
    fn is_load_balancer(&self) -> bool {
        self.spec.type_ == ServiceType::LoadBalancer
    }

    fn load_balancer(&self, service: &Service) -> Addresses {
        const FIELD: &str = "status.loadBalancer.ingress";
        let mut addresses = Addresses { field: FIELD, ..Addresses::default() };
        // Another type has no such address; nothing is withheld.
        if !self.is_load_balancer() {
            return addresses;
        }
        if let Some(class) =
            self.spec.load_balancer_class.as_deref().filter(|class| *class != LOAD_BALANCER_CLASS)
        {
            let reason = Reason::LoadBalancerClassOther { class: class.to_string() };
            addresses.refused.push(("spec.loadBalancerClass", reason));
            return addresses;
        }
        if let Some(reason) = not_exposed(service, "LoadBalancer") {
            addresses.refused.push(("metadata.annotations", reason));
            return addresses;
        }
        let ingress = &self.spec.ingress;
        if ingress.is_empty() {
            let why = self.spec.waits.as_deref();
            let why =
                why.unwrap_or("LB IPAM has not answered (is there a pool, and an operator that leads?)");
            let (service, why) = (service.name.to_string(), why.to_owned());
            addresses.refused.push((FIELD, Reason::LoadBalancerIpPending { service, why }));
        }
        for ingress in ingress.iter() {
            match ingress_address(ingress) {
                Ok(text) => self.add(&mut addresses, text, Policy::External),
                Err(reason) => addresses.refused.push((FIELD, reason)),
            }
        }
        addresses
    }

    fn cluster(&self, service: &Service) -> Addresses {
        let mut addresses = Addresses { field: "spec.clusterIPs", ..Addresses::default() };
        if self.spec.type_ == ServiceType::ExternalName {
            return addresses;
        }
        if let Some(reason) = not_exposed(service, "ClusterIP") {
            addresses.refused.push(("metadata.annotations", reason));
            return addresses;
        }
        let assigned = &self.spec.cluster_ips;
        if assigned.is_empty() {
            addresses.refused.push(("spec.clusterIPs", Reason::ClusterIpPending));
        }
        for text in assigned.iter() {
            self.add(&mut addresses, text, Policy::Internal);
        }
        addresses
    }

    fn external(&self) -> Addresses {
        let mut addresses = Addresses { field: "spec.externalIPs", ..Addresses::default() };
        if self.spec.type_ != ServiceType::ExternalName {
            for text in self.spec.external_ips.iter() {
                self.add(&mut addresses, text, Policy::External);
            }
        }
        addresses
    }

    fn add(&self, addresses: &mut Addresses, text: &str, policy: Policy) {
        let Ok(address) = text.parse::<IpAddr>() else {
            let reason = Reason::ServiceAddressInvalid { value: text.to_owned() };
            return addresses.refused.push((addresses.field, reason));
        };
        let local = policy.is_local(self.spec);
        let reach = self.backends.reach(address);
        let enabled = if address.is_ipv4() { self.options.enable_ipv4 } else { self.options.enable_ipv6 };
        let refused = if !enabled {
            Some(Reason::FamilyDisabled { address })
        } else if self.excluded && matches!(policy, Policy::External) {
            Some(Reason::NodeExcluded { address })
        } else if local && reach.here == 0 {
            Some(Reason::NoLocalEndpoint { address, policy: policy.field() })
        } else if !local && reach.anywhere == 0 && !self.options.no_service_endpoints_routable {
            Some(Reason::NoEndpoint { address })
        } else {
            None
        };
        addresses.frontends.push(Frontend { address, local, refused });
    }
}

/// The address of an ingress point, if it is one that nodes may answer for.
fn ingress_address(ingress: &Ingress) -> Result<&str, Reason> {
    let Some(ip) = ingress.ip.as_deref().filter(|ip| !ip.is_empty()) else {
        return Err(Reason::IngressWithoutIp {
            hostname: ingress.hostname.as_deref().unwrap_or_default().to_owned(),
        });
    };
    match ingress.ip_mode.as_deref() {
        None | Some("VIP") => Ok(ip),
        Some(mode) => Err(Reason::IngressModeNotVip { ip: ip.to_owned(), mode: mode.to_owned() }),
    }
}

/// The traffic policy that governs a kind of address.
#[derive(Clone, Copy)]
enum Policy {
    External,
    Internal,
}

impl Policy {
    fn is_local(self, spec: &ServiceSpec) -> bool {
        let policy = match self {
            Self::External => spec.external_traffic_policy.as_deref(),
            Self::Internal => spec.internal_traffic_policy.as_deref(),
        };
        policy == Some("Local")
    }

    fn field(self) -> &'static str {
        match self {
            Self::External => "externalTrafficPolicy",
            Self::Internal => "internalTrafficPolicy",
        }
    }
}
