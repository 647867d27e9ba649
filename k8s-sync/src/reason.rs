//! The catalogue of reasons: every way in which something a person wrote is refused, ignored, or not advertised.
//!
//! One row per reason: severity, name, what it carries, what it says. The name is stable: it is the metric label and what
//! `status` prints. Invariant: each text says what to do, unless the reason is the normal state of things.

use std::net::IpAddr;

use ipnet::IpNet;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something that was asked for is not in force.
    Error,
    /// It is in force, but probably not as meant.
    Warning,
    /// The rules lead to this; it explains why a route is not there.
    Info,
}

impl Severity {
    /// The severity in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $severity:ident $name:ident $({ $($field:ident: $type:ty),+ $(,)? })? => $text:literal;)+) => {
        /// Why something is refused, ignored or not advertised.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
        #[allow(missing_docs, reason = "the fields are what the text names")]
        pub enum Reason {
            $($(#[doc = $doc])+ #[error($text)] $name $({ $($field: $type),+ })?,)+
        }

        impl Reason {
            /// Stable name, for metrics and machines.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name { .. } => stringify!($name),)+ }
            }

            /// How bad it is.
            #[must_use]
            pub fn severity(&self) -> Severity {
                match self { $(Self::$name { .. } => Severity::$severity,)+ }
            }

            /// All names, for documentation and metrics.
            pub const NAMES: &[&str] = &[$(stringify!($name),)+];
        }
    };
}

reasons! {
    // Manifest files.
    /// The watched directory cannot be read.
    Error DirectoryUnreadable { error: String } => "the directory cannot be read ({error}); what it held stays in force until it can";
    /// A file cannot be read.
    Error FileUnreadable { error: String } => "cannot be read ({error}); what it held stays in force";
    /// A file is not YAML or JSON.
    Error Syntax { error: String } => "{error}; what the file held before stays in force";
    /// A file has been cut to nothing.
    Warning FileEmpty => "is empty, as if half written; what it held stays in force: delete the file, or leave a comment in it, to remove its objects";
    /// A document is not an object.
    Error NotAnObject { found: &'static str } => "must be an object with apiVersion, kind and metadata, not {found}";
    /// apiVersion, kind or name is missing.
    Error IdentityMissing { what: &'static str } => "{what} is missing";
    /// metadata.name or metadata.namespace is not a valid name.
    Error NameInvalid { value: String } => "{value:?} is no valid name; write lower-case letters, digits, '-' and '.', at most 253 of them";
    /// A cluster-scoped object has a namespace.
    Warning NamespaceIgnored { namespace: String } => "the kind is cluster-scoped; namespace {namespace:?} is ignored";
    /// A kind that is not used.
    Info KindNotUsed { kind: String } => "{kind} is not used for BGP and is skipped; it is for the CNI or controller that implements it";
    /// A kind that is not read although one might expect it.
    Warning KindNotRead { kind: String, instead: &'static str } => "{kind} is not read; {instead}";
    /// A kind or version that exists nowhere, or no longer.
    Error KindUnknown { kind: String, instead: &'static str } => "{kind} is not known; {instead}";
    /// The same object stands in two places.
    Error DuplicateObject { first: String } => "is also in {first}, which stays in force; remove one of the two";
    /// A field that the schema does not have.
    Warning UnknownField => "is not a field of this kind and is ignored; check its spelling and indentation";
    /// A field that nothing reads, as a few of v2alpha1.
    Warning FieldIgnored { why: &'static str } => "is ignored: {why}";
    /// A value of the wrong type.
    Error WrongType { expected: String, found: String } => "must be {expected}, not {found}";
    /// A required field is absent.
    Error Required => "is required";
    /// A number outside its range.
    Error OutOfRange { value: String, allowed: String } => "{value} is out of range; write {allowed}";
    /// A text too short or too long.
    Error WrongLength { length: usize, allowed: String } => "has {length} characters; write {allowed}";
    /// A list too short or too long.
    Error WrongCount { count: usize, allowed: String } => "has {count} entries; write {allowed}";
    /// A word outside an enumeration.
    Error NotAllowed { value: String, allowed: String } => "{value} is not supported; write one of {allowed}";
    /// A text that does not fit its pattern.
    Error Malformed { value: String, expected: &'static str } => "{value} is not {expected}";
    /// Two entries of a list have the same key.
    Error DuplicateKey { key: String, value: String } => "another entry has the same {key} {value:?}; each must have its own";
    /// A CEL rule of the CRD does not hold.
    Error RuleBroken { message: String, advice: String } => "{message}{advice}";
    /// The value cannot be read for another reason.
    Error Undecodable { error: String } => "cannot be read: {error}";

    // Addresses of load balancers, given without an API server.
    /// A condition of a pool that says that something is wrong.
    Warning PoolCondition { condition: String, message: String } => "{condition}: {message}";
    /// A reservation that does not hold what it should.
    Warning NotReserved { reason: String, message: String } => "{reason}: {message}";
    /// The annotation that says which nodes count is no selector.
    Warning NodeIpamSelectorInvalid { message: String } => "{message}";
    /// The memory of addresses cannot be read.
    Warning AddressMemoryUnreadable { error: String } => "the addresses that LB IPAM gave earlier cannot be read ({error}), so Services may get others; repair the file or delete it, or write --lbipam-state FILE";
    /// The memory of addresses cannot be written.
    Warning AddressMemoryUnwritable { error: String } => "the addresses that LB IPAM gives cannot be kept ({error}), so Services may get others after a restart; make the directory writable, or write --lbipam-state FILE";

    // The API server.
    /// The API server cannot be reached, or says that it cannot answer now.
    Error ApiUnavailable { server: String, problem: String } => "the API server at {server} is not available ({problem}); everything read from it stays in force, and it is asked again";
    /// RBAC forbids reading a kind.
    Error ApiForbidden { resource: String, problem: String } => "{resource} cannot be read: {problem}; allow get, list and watch in the ClusterRole";
    /// The API server does not have a kind that is needed.
    Error KindNotServed { kind: &'static str, resource: String } => "the API server has no kind {kind} ({resource}); install the CustomResourceDefinitions (deploy/crds, or Cilium's own). It is asked again";
    /// The API server answers something unexpected.
    Error ApiRefuses { resource: String, problem: String } => "{resource} cannot be read: {problem}; everything read before stays in force, and it is asked again";
    /// An object whose new version cannot be read.
    Error ObjectUndecodable { error: String } => "cannot be read: {error}; its last good version, if any, stays in force";

    // From cluster configuration to node configuration.
    /// No node matches a cluster configuration.
    Warning NoMatchingNode => "No node matches spec.nodeSelector";
    /// Peer configurations are missing.
    Error MissingPeerConfigs { names: String } => "Referenced CiliumBGPPeerConfig(s) are missing: {names}";
    /// Other cluster configurations own some of the nodes.
    Error ConflictingClusterConfig { names: String } => "Selecting the same node(s) with ClusterConfig(s): {names}";
    /// The Secret of a peer configuration is missing.
    Error MissingAuthSecret { name: String, namespace: String } => "Referenced Auth Secret {name:?} is missing in namespace {namespace}; sessions that use it stay down until it exists";
    /// A node already has a configuration that no cluster configuration owns.
    Warning NodeConfigNotOwned { node: String } => "node {node} has a CiliumBGPNodeConfig that no CiliumBGPClusterConfig owns; it stays, and this one does not apply there";
    /// The owner of a node configuration does not exist.
    Info NodeConfigOrphaned { owner: String } => "its owner CiliumBGPClusterConfig {owner} does not exist; it is not used";
    /// An override for a node that does not exist or runs nothing.
    Warning OverrideUnused => "no node of this name runs BGP; the override has no effect";
    /// An override names an instance that the node does not have.
    Warning OverrideInstanceUnknown { name: String } => "the node has no instance {name:?}; names must be equal to those of the CiliumBGPClusterConfig";
    /// An override names a peer that the instance does not have.
    Warning OverridePeerUnknown { name: String } => "the instance has no peer {name:?}; names must be equal to those of the CiliumBGPClusterConfig";
    /// A selector that Kubernetes would refuse.
    Error SelectorInvalid { key: String, problem: &'static str } => "the requirement on {key:?} {problem}; the selector matches nothing";
    /// A port outside 1 to 65535.
    Error PortOutOfRange { port: i64 } => "{port} is no port; write 1 to 65535. The port of the CiliumBGPClusterConfig stays in force";

    /// The pool for router IDs is none.
    Error RouterIdPoolInvalid { value: String, problem: &'static str } => "{value:?} {problem}; write an IPv4 CIDR such as 10.255.0.0/16. Instances keep the router IDs that they have, and new ones do not run";
    /// The pool for router IDs is used up.
    Error RouterIdPoolExhausted { instance: String, node: String, pool: String } => "instance {instance} does not run on node {node}: pool {pool} has no router ID left; make it larger, or write routerID in the CiliumBGPNodeConfigOverride of the node";
    /// An override wants a router ID of the pool that another instance has.
    Error RouterIdTaken { value: String, instance: String, holder: String } => "instance {instance} does not get router ID {value}: {holder} has it; write one that is free, or one outside of the pool";

    // Instances of a node.
    /// The node runs no BGP.
    Info NodeNotSelected => "no CiliumBGPClusterConfig selects the node, so it runs no BGP";
    /// There is no Node of this name.
    Error NodeUnknown => "there is no Node or CiliumNode of this name, so its addresses and pod CIDRs are unknown; write one, or give --node the name that it has";
    /// An instance without an ASN.
    Error MissingLocalAsn { instance: String } => "instance {instance} has no localASN and does not run; write localASN in the CiliumBGPClusterConfig or in the CiliumBGPNodeConfigOverride of the node";
    /// A name that bgpd cannot carry, a reserved ASN, and the like.
    Error NotAccepted { what: String, problem: String } => "{what} is left out: {problem}";
    /// Two entries of the same name.
    Error DuplicateName { what: String } => "{what} stands there twice; the first one is used";
    /// No router ID can be derived.
    Error RouterIdUnknown { instance: String } => "instance {instance} does not run: the node has no IPv4 address to derive a router ID from; write routerID in the CiliumBGPNodeConfigOverride of the node";
    /// A router ID that cannot be one.
    Error RouterIdInvalid { instance: String, value: String } => "instance {instance} does not run: {value:?} is no router ID; write an IPv4 address other than 0.0.0.0";
    /// Two instances want the same port.
    Error ListenPortTaken { port: u16, instance: String, other: String } => "instance {other} of the node already listens on port {port}; instance {instance} runs without a listener and only dials";

    // Peers.
    /// A peer without an address.
    Error PeerAddressMissing { peer: String } => "peer {peer} is left out: it has no peerAddress; write it";
    /// A peer address that is none.
    Error PeerAddressInvalid { peer: String, value: String, problem: &'static str } => "peer {peer} is left out: {value:?} {problem}";
    /// Two peers with the same address.
    Error PeerAddressTaken { peer: String, other: String, address: String } => "peer {peer} is left out: peer {other} of the same instance has the same address {address}";
    /// A hand-written node configuration without an ASN for a peer.
    Error PeerAsnMissing { peer: String } => "peer {peer} is left out: it has no peerASN; write the ASN, or 0 to take what the peer says";
    /// Auto-discovery has found no peer.
    Error NoDefaultGateway { peer: String, family: &'static str, why: &'static str } => "peer {peer} is left out until there is an {family} default route whose gateway can be a peer: {why}";
    /// Auto-discovery without its parameters.
    Error DefaultGatewayFamilyMissing { peer: String } => "peer {peer} is left out: mode DefaultGateway needs autoDiscovery.defaultGateway.addressFamily, ipv4 or ipv6";
    /// An address is written, so nothing is discovered.
    Info AutoDiscoveryNotNeeded { peer: String } => "peer {peer} has a peerAddress, so autoDiscovery has no effect";
    /// The peer configuration is missing.
    Error PeerConfigMissing { peer: String, name: String } => "peer {peer} is left out until CiliumBGPPeerConfig {name:?} exists";
    /// A source address that cannot be one.
    Error LocalAddressInvalid { peer: String, value: String, problem: &'static str } => "peer {peer} is left out: localAddress {value:?} {problem}";
    /// The source interface has no single usable address.
    Error SourceInterfaceUnusable { peer: String, interface: String, usable: usize } => "peer {peer} is left out: interface {interface:?} has {usable} usable addresses of the peer's family, and it must have exactly one";
    /// No namespace for secrets is configured.
    Error SecretsNamespaceMissing { peer: String } => "peer {peer} stays down: authSecretRef needs the option --bgp-secrets-namespace";
    /// The Secret is missing.
    Error AuthSecretMissing { peer: String, name: String, namespace: String } => "peer {peer} stays down until Secret {namespace}/{name} exists";
    /// The Secret has no usable password.
    Error AuthSecretUnusable { peer: String, name: String, namespace: String, problem: &'static str } => "peer {peer} stays down: Secret {namespace}/{name} {problem}";
    /// The password ends with a newline.
    Warning PasswordEndsWithNewline { name: String, namespace: String } => "the password in Secret {namespace}/{name} ends with a newline, which is part of it; if that is not meant, encode it again without (printf instead of echo)";
    /// A family that carries no routes here.
    Error FamilyNotSupported { afi: String, safi: String } => "{afi}/{safi} is not supported and not negotiated; the session runs with the other families";
    /// Only unsupported families.
    Error NoSupportedFamily { peer: String } => "peer {peer} is left out: none of its families is supported; write ipv4/unicast or ipv6/unicast";

    // What is advertised.
    /// Families absent: nothing is advertised.
    Info FamiliesAbsent => "families is absent: IPv4 and IPv6 unicast are negotiated and nothing is advertised; list families with advertisements to advertise";
    /// No peer configuration is named.
    Info PeerConfigRefAbsent { peer: String } => "peer {peer} has no peerConfigRef: defaults apply, and nothing is advertised to it";
    /// A family without advertisements.
    Info AdvertisementsAbsent => "advertisements is absent: nothing is advertised in this family; write {{}} to select every CiliumBGPAdvertisement";
    /// A selector that selects no advertisement.
    Warning AdvertisementsNotFound => "no CiliumBGPAdvertisement has labels that match";
    /// The type means nothing in this IPAM mode.
    Warning NotInIpamMode { kind: &'static str, mode: &'static str, wanted: &'static str } => "type {kind} advertises nothing with --ipam {mode}; it needs {wanted}, or any";
    /// An Interface advertisement without options.
    Error InterfaceOptionsMissing => "type Interface needs interface.name; the entry advertises nothing";
    /// The interface does not exist.
    Warning InterfaceUnknown { node: String, name: String } => "node {node} has no interface {name:?}, so nothing is advertised; its addresses are advertised as soon as it has one";
    /// The interface is down.
    Info InterfaceDown { node: String, name: String } => "interface {name:?} of node {node} is down, so its addresses are not advertised";
    /// The interface has no address that others could use.
    Info InterfaceWithoutAddress { node: String, name: String } => "interface {name:?} of node {node} has no address to advertise (loopback, multicast, IPv6 link-local and IPv4-mapped addresses never are)";
    /// A selector that selects no pool.
    Info SelectorMatchesNoPool => "no CiliumPodIPPool has labels that match";
    /// The node holds nothing of a pool.
    Info NoPoolCidr { pool: String } => "the node holds no CIDR of CiliumPodIPPool {pool}, so nothing of it is advertised";
    /// A CIDR whose length is not that of its pool's pieces.
    Warning PoolMaskSizeDiffers { prefix: IpNet, pool: String, length: String } => "{prefix} is not advertised: CiliumPodIPPool {pool} has {length}";
    /// A Service advertisement without options.
    Error ServiceOptionsMissing => "type Service needs service.addresses; the entry advertises nothing";
    /// An advertisement without selector.
    Warning SelectorAbsent => "selector is absent, so nothing is selected; write a selector, {{}} for everything";
    /// A selector that selects no service.
    Info SelectorMatchesNothing => "no Service has labels that match";
    /// A local preference outside 32 bits.
    Error LocalPreferenceOutOfRange { value: i64 } => "{value} is no LOCAL_PREF; write 0 to 4294967295. The entry advertises nothing until then";
    /// A community that is none.
    Error CommunityInvalid { value: String, expected: &'static str } => "{value:?} is no community; write {expected}. The entry advertises nothing until then";
    /// An aggregate that is a default route.
    Warning AggregateIsDefaultRoute { prefix: IpNet } => "a length of 0 advertises the default route {prefix}";
    /// The node has no pod CIDR.
    Info NoPodCidr => "the node has no pod CIDR, so PodCIDR advertises nothing; a CNI that assigns them writes spec.podCIDRs of the Node";
    /// The node's pods have addresses out of pools.
    Info PodsFromPools => "the node's pods get their addresses out of CiliumPodIPPools, so PodCIDR advertises nothing; use type CiliumPodIPPool, or --ipam kubernetes if the pod CIDRs are used all the same";
    /// A pod CIDR that is none.
    Error PodCidrInvalid { value: String } => "{value:?} is no CIDR and is not advertised";

    // Why something is not selected. Only explanations say so: as findings they would be about almost everything.
    /// A peer's selector does not match an advertisement.
    Info AdvertisementNotSelected { unmet: String } => "the peer's selector does not match it: {unmet}";
    /// The selector of an entry does not match a Service.
    Info ServiceNotSelected { unmet: String } => "the entry's selector does not match it: {unmet}";
    /// The entry is about a type of address that the Service does not have.
    Info NoAddressOfType { kind: &'static str } => "has no {kind}, which is what the entry advertises";
    /// The address cannot go into the family.
    Info AddressOfOtherFamily { address: IpAddr, family: &'static str } => "{address} is not carried in {family}";

    // Services that are selected and not advertised.
    /// A service without ports.
    Info ServiceWithoutPorts => "has no ports, so no address of it is served";
    /// A headless service.
    Info ServiceHeadless => "is headless, so it has no address to advertise";
    /// Served by another proxy.
    Info ServiceOfOtherProxy { name: String } => "belongs to service proxy {name:?} (label service.kubernetes.io/service-proxy-name)";
    /// The node takes no external traffic.
    Info NodeExcluded { address: IpAddr } => "{address} is not advertised here: the node has the label node.kubernetes.io/exclude-from-external-load-balancers (--honor-exclude-from-external-load-balancers=false to ignore it)";
    /// The type is not exposed.
    Info ServiceTypeNotExposed { kind: &'static str, exposed: String } => "{kind} is not exposed: annotation service.cilium.io/type is {exposed:?}";
    /// A word that the annotation does not know.
    Warning ServiceTypeUnknown { value: String } => "annotation service.cilium.io/type: {value:?} is not ClusterIP, NodePort or LoadBalancer; the annotation is ignored";
    /// Hidden on this node.
    Info ServiceHiddenOnNode { annotation: &'static str, value: String } => "annotation {annotation} {value:?} does not match the node";
    /// The node selector cannot be read.
    Warning ServiceNodeSelectorInvalid { value: String } => "annotation service.cilium.io/node-selector {value:?} is no label selector; the annotation is ignored";
    /// Another load balancer's class.
    Info LoadBalancerClassOther { class: String } => "loadBalancerClass {class:?} belongs to another implementation; only io.cilium/bgp-control-plane or none is advertised";
    /// No address assigned yet.
    Info LoadBalancerIpPending { service: String, why: String } => "no address is assigned: {why}; rutterctl lbipam explain {service} says more";
    /// An ingress without an IP.
    Info IngressWithoutIp { hostname: String } => "ingress {hostname:?} is a hostname, not an IP address";
    /// An ingress that does not want to be a VIP.
    Info IngressModeNotVip { ip: String, mode: String } => "ingress {ip} has ipMode {mode}, not VIP";
    /// No cluster IP assigned.
    Info ClusterIpPending => "no cluster IP is assigned";
    /// An address that is none.
    Warning ServiceAddressInvalid { value: String } => "{value:?} is no IP address";
    /// The family is off.
    Info FamilyDisabled { address: IpAddr } => "{address} is of an address family that is switched off";
    /// The policy is Local and no endpoint here is active.
    Info NoLocalEndpoint { address: IpAddr, policy: &'static str } => "{address} is not advertised here: {policy} is Local and this node has no active endpoint";
    /// No endpoint anywhere, and that matters.
    Info NoEndpoint { address: IpAddr } => "{address} is not advertised: no endpoint is active, and services without are not routable (enable-no-service-endpoints-routable=false)";
}

impl Reason {
    /// Whether it depends on links, addresses or routes of the node, which only an agent on it can know.
    #[must_use]
    pub fn needs_the_node(&self) -> bool {
        matches!(
            self,
            Self::SourceInterfaceUnusable { .. }
                | Self::NoDefaultGateway { .. }
                | Self::InterfaceUnknown { .. }
                | Self::InterfaceDown { .. }
                | Self::InterfaceWithoutAddress { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let unique: BTreeSet<_> = Reason::NAMES.iter().collect();
        assert_eq!(unique.len(), Reason::NAMES.len());
    }

    #[test]
    fn a_reason_knows_its_row() {
        let reason = Reason::ListenPortTaken { port: 179, instance: "b".into(), other: "a".into() };
        assert_eq!(reason.name(), "ListenPortTaken");
        assert_eq!(reason.severity(), Severity::Error);
        assert_eq!(
            reason.to_string(),
            "instance a of the node already listens on port 179; instance b runs without a listener and only dials"
        );
    }
}
