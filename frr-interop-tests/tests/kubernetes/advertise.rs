//! Advertisements through a real API server to a real FRR: each type, the rules of Services with EndpointSlices that
//! kube-controller-manager makes, and what users of Cilium's BGP have reported as broken.

mod stage;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use frr_interop_tests::Oracle;
use rutter_lab::kube::{EndpointSlice, Pod};
use serde_json::{Value, json};

use stage::{NODE_ASN, Stage, run};

/// ASN of the router in most tests.
const ROUTER: u32 = 65_001;
/// How long a withdrawal may take: far less than any timer that would hide a missing one.
const PROMPT: Duration = Duration::from_secs(10);

fn services(test: &str, addresses: &[&str]) -> Value {
    json!({"advertisementType": "Service", "service": {"addresses": addresses}, "selector": {"matchLabels": {"test": test}}})
}

fn pod(stage: &Stage, name: &str, app: &str, ip: &str, unready: bool) -> Result<()> {
    stage.cluster.write_pod(&Pod {
        namespace: &stage.test,
        name,
        labels: &[("app", app)],
        node: &stage.test,
        ip,
        unready,
        ..Pod::default()
    })
}

#[test]
fn pod_cidrs_and_the_agent_that_starts_again() {
    run("adv-podcidr", ROUTER, &[], |stage| {
        stage.advertise(&json!([{"advertisementType": "PodCIDR"}]))?;
        stage.wait_established()?;
        ensure!(stage.frr.wait_path("172.20.1.0/24")?.as_path == NODE_ASN.to_string(), "the AS path");
        stage.frr.wait_path("fd00:20:1::/64")?;

        // #24069: after a restart the pod CIDRs were gone. Here not even the session notices.
        let before = stage.frr.wait_established("10.0.1.1")?;
        stage.agent.daemon().kill()?;
        stage.service("late", &json!({"type": "ClusterIP"}), &[])?;
        stage.advertise(&json!([{"advertisementType": "PodCIDR"}, services(&stage.test, &["ClusterIP"])]))?;
        stage.agent.start_again()?;
        let service = stage.cluster.get_in(&stage.test, "service", "late")?;
        let address = service["spec"]["clusterIP"].as_str().unwrap_or_default();
        stage.frr.wait_path(&format!("{address}/32"))?;
        ensure!(!stage.frr.paths("172.20.1.0/24")?.is_empty(), "the pod CIDR is gone");
        stage.frr.ensure_same_session("10.0.1.1", &before)
    });
}

#[test]
fn three_kinds_of_service_addresses() {
    run("adv-kinds", ROUTER, &[], |stage| {
        stage.service(
            "web",
            &json!({"type": "LoadBalancer", "externalIPs": ["198.51.100.7"]}),
            &["172.16.1.1"],
        )?;
        let service = stage.cluster.get_in(&stage.test, "service", "web")?;
        let cluster_ip = format!("{}/32", service["spec"]["clusterIP"].as_str().unwrap_or_default());
        stage.advertise(&json!([services(&stage.test, &["LoadBalancerIP"])]))?;
        stage.wait_established()?;
        stage.frr.wait_path("172.16.1.1/32")?;
        ensure!(stage.frr.paths(&cluster_ip)?.is_empty(), "the cluster IP was not asked for");
        stage.advertise(&json!([services(&stage.test, &["LoadBalancerIP", "ClusterIP", "ExternalIP"])]))?;
        stage.frr.wait_path(&cluster_ip)?;
        stage.frr.wait_path("198.51.100.7/32")?;

        // Labels decide, at once.
        stage.cluster.kubectl(&["label", "service", "-n", &stage.test, "web", "test-"])?;
        for prefix in ["172.16.1.1/32", "198.51.100.7/32", &cluster_ip] {
            stage.frr.wait_gone(prefix)?;
        }
        stage.cluster.kubectl(&[
            "label",
            "service",
            "-n",
            &stage.test,
            "web",
            &format!("test={}", stage.test),
        ])?;
        stage.frr.wait_path("172.16.1.1/32")?;

        // Another implementation's class keeps the load-balancer address out, and says so.
        stage.service(
            "foreign",
            &json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/lb", "externalIPs": ["198.51.100.8"]}),
            &["172.16.1.9"],
        )?;
        stage.frr.wait_path("198.51.100.8/32")?;
        ensure!(stage.wait_finding("LoadBalancerClassOther")?.contains("example.com/lb"), "the class");
        ensure!(stage.frr.paths("172.16.1.9/32")?.is_empty(), "an address of another class");

        // The service goes, and its addresses with it.
        stage.cluster.delete_in(&stage.test, "service", "web")?;
        stage.frr.wait_gone("172.16.1.1/32")
    });
}

#[test]
fn local_policy_follows_the_pods_that_are_ready_here() {
    run("adv-local", ROUTER, &[], |stage| {
        stage.cluster.controller_manager()?;
        stage.advertise(&json!([services(&stage.test, &["LoadBalancerIP"])]))?;
        let spec =
            json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "selector": {"app": "web"}});
        stage.service("web", &spec, &["172.16.2.1"])?;
        stage.wait_established()?;
        ensure!(stage.wait_finding("NoLocalEndpoint")?.contains("172.16.2.1"), "which address");
        pod(stage, "web-1", "web", "172.20.1.10", true)?;
        stage.frr.ensure_absent_for("172.16.2.1/32", Duration::from_secs(2))?;
        pod(stage, "web-1", "web", "172.20.1.10", false)?;
        stage.frr.wait_path("172.16.2.1/32")?;

        // #32487: the route has to go when the last pod here begins to terminate, not when it has ended. There is no kubelet
        // to end it, so the pod stays in that state.
        stage.cluster.kubectl(&[
            "delete",
            "pod",
            "-n",
            &stage.test,
            "web-1",
            "--wait=false",
            "--grace-period=600",
        ])?;
        let begun = Instant::now();
        stage.frr.wait_gone("172.16.2.1/32")?;
        ensure!(begun.elapsed() < PROMPT, "the withdrawal took {:?}", begun.elapsed());
        let pod = stage.cluster.get_in(&stage.test, "pod", "web-1")?;
        ensure!(pod["metadata"]["deletionTimestamp"].is_string(), "the pod is terminating: {pod}");
        Ok(())
    });
}

#[test]
fn slices_that_are_deleted_are_noticed() {
    run("adv-slices", ROUTER, &[], |stage| {
        stage.advertise(&json!([services(&stage.test, &["LoadBalancerIP"])]))?;
        let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"});
        stage.service("web", &spec, &["172.16.3.1"])?;
        let slice = |name| EndpointSlice {
            namespace: &stage.test,
            name,
            service: "web",
            ports: &[("", 80)],
            endpoints: &[("172.20.1.10", "adv-slices", true)],
        };
        stage.cluster.write_endpoint_slice(&slice("web-a"))?;
        stage.cluster.write_endpoint_slice(&slice("web-b"))?;
        stage.wait_established()?;
        stage.frr.wait_path("172.16.3.1/32")?;
        // #38924: one of two slices goes, then the other.
        stage.cluster.delete_in(&stage.test, "endpointslice", "web-a")?;
        stage.service("marker", &json!({"type": "LoadBalancer"}), &["172.16.3.2"])?;
        stage.frr.wait_path("172.16.3.2/32")?;
        ensure!(!stage.frr.paths("172.16.3.1/32")?.is_empty(), "one slice is left");
        stage.cluster.delete_in(&stage.test, "endpointslice", "web-b")?;
        stage.frr.wait_gone("172.16.3.1/32")
    });
}

#[test]
fn an_ipv6_address_that_comes_later() {
    run("adv-v6-later", ROUTER, &[], |stage| {
        // #35407: it was missing until the advertisement was applied again.
        stage.advertise(&json!([services(&stage.test, &["LoadBalancerIP"])]))?;
        stage.service("web", &json!({"type": "LoadBalancer"}), &["172.16.4.1"])?;
        stage.wait_established()?;
        stage.frr.wait_path("172.16.4.1/32")?;
        stage.service("web", &json!({"type": "LoadBalancer"}), &["172.16.4.1", "2001:db8:4::1"])?;
        stage.frr.wait_path("2001:db8:4::1/128")?;
        stage.service("web", &json!({"type": "LoadBalancer"}), &["172.16.4.1"])?;
        stage.frr.wait_gone("2001:db8:4::1/128")?;
        ensure!(!stage.frr.paths("172.16.4.1/32")?.is_empty(), "the IPv4 address is gone too");
        Ok(())
    });
}

#[test]
fn another_asn_takes_effect() {
    run("adv-asn", ROUTER, &[], |stage| {
        stage.advertise(&json!([{"advertisementType": "PodCIDR"}]))?;
        stage.wait_established()?;
        // #33163: a changed ASN had no effect.
        stage.configure_node(65_099)?;
        stage.frr.wait_down("10.0.1.1", PROMPT)?;
        stage.frr.wait_gone("172.20.1.0/24")?;
        stage.configure_node(stage.router_asn())?;
        stage.wait_established()?;
        stage.frr.wait_path("172.20.1.0/24")?;
        Ok(())
    });
}

#[test]
fn pieces_of_pools() {
    run("adv-pools", ROUTER, &["--ipam", "multi-pool"], |stage| {
        let node = |allocated: &Value| {
            stage.cluster.write(&json!({
                "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": stage.test},
                "spec": {"ipam": {"pools": {"allocated": allocated}}},
            }))
        };
        let pool = json!({
            "apiVersion": "cilium.io/v2alpha1", "kind": "CiliumPodIPPool",
            "metadata": {"name": stage.test, "labels": {"test": stage.test}},
            "spec": {"ipv4": {"cidrs": ["10.10.0.0/16"], "maskSize": 27}},
        });
        stage.cluster.apply(&pool.to_string())?;
        node(&json!([{"pool": stage.test, "cidrs": ["10.10.1.0/27"]}]))?;
        let select = json!({"matchLabels": {"io.cilium.podippool.name": stage.test}});
        stage.advertise(&json!([
            {"advertisementType": "CiliumPodIPPool", "selector": select, "attributes": {"communities": {"standard": ["65000:27"]}}},
            {"advertisementType": "PodCIDR"},
        ]))?;
        stage.wait_established()?;
        let path = stage.frr.wait_path("10.10.1.0/27")?;
        ensure!(path.communities.contains("65000:27"), "{path:?}");
        ensure!(stage.frr.paths("172.20.1.0/24")?.is_empty(), "pod CIDRs are of other IPAM modes");
        stage.wait_finding("NotInIpamMode")?;
        node(&json!([{"pool": stage.test, "cidrs": ["10.10.1.0/27", "10.10.2.32/27"]}]))?;
        stage.frr.wait_path("10.10.2.32/27")?;
        // The pool goes, and what the node still holds of it is withdrawn.
        stage.cluster.delete("ciliumpodippool", &stage.test)?;
        stage.frr.wait_gone("10.10.1.0/27")?;
        stage.frr.wait_gone("10.10.2.32/27")
    });
}

#[test]
fn addresses_of_an_interface() {
    run("adv-interface", ROUTER, &[], |stage| {
        let hub = &stage.star.hub;
        hub.ip(&["addr", "add", "10.9.9.1/32", "dev", "lo"])?;
        stage.advertise(&json!([{"advertisementType": "Interface", "interface": {"name": "lo"}}]))?;
        stage.wait_established()?;
        stage.frr.wait_path("10.9.9.1/32")?;
        hub.ip(&["addr", "add", "fd00:9::1/128", "dev", "lo"])?;
        stage.frr.wait_path("fd00:9::1/128")?;
        hub.ip(&["addr", "del", "10.9.9.1/32", "dev", "lo"])?;
        stage.frr.wait_gone("10.9.9.1/32")
    });
}

#[test]
fn overlapping_advertisements_add_up() {
    // An internal session, so that the local preference travels.
    run("adv-overlap", NODE_ASN, &[], |stage| {
        let entry = |community: &str, preference: u32| {
            json!({"advertisementType": "Service", "service": {"addresses": ["LoadBalancerIP"]},
                   "selector": {"matchLabels": {"test": stage.test}},
                   "attributes": {"communities": {"standard": [community]}, "localPreference": preference}})
        };
        let aggregate = json!({"advertisementType": "Service",
            "service": {"addresses": ["LoadBalancerIP"], "aggregationLengthIPv4": 24},
            "selector": {"matchLabels": {"test": stage.test}}, "attributes": {"communities": {"wellKnown": ["no-export"]}}});
        stage.advertise(&json!([entry("65000:1", 150), entry("65000:2", 250), aggregate]))?;
        stage.service("one", &json!({"type": "LoadBalancer"}), &["172.16.5.1"])?;
        stage.service("two", &json!({"type": "LoadBalancer"}), &["172.16.5.1", "172.16.5.2"])?;
        stage.wait_established()?;
        let path = stage.frr.wait_path("172.16.5.1/32")?;
        ensure!(path.local_pref == Some(250), "{path:?}");
        ensure!(path.communities.contains("65000:1") && path.communities.contains("65000:2"), "{path:?}");
        ensure!(!path.communities.contains("65535:65281"), "{path:?}");
        let path = stage.frr.wait_path("172.16.5.0/24")?;
        ensure!(path.communities.contains("65535:65281") && path.local_pref == Some(100), "{path:?}");

        // A shared address and the aggregate stay until the last of their services goes.
        stage.cluster.delete_in(&stage.test, "service", "two")?;
        stage.frr.wait_gone("172.16.5.2/32")?;
        ensure!(!stage.frr.paths("172.16.5.1/32")?.is_empty(), "the shared address is gone too early");
        ensure!(!stage.frr.paths("172.16.5.0/24")?.is_empty(), "the aggregate is gone too early");
        stage.cluster.delete_in(&stage.test, "service", "one")?;
        stage.frr.wait_gone("172.16.5.1/32")?;
        stage.frr.wait_gone("172.16.5.0/24")
    });
}

#[test]
fn a_node_that_is_excluded_from_load_balancers() {
    run("adv-excluded", ROUTER, &[], |stage| {
        const LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
        stage.advertise(&json!([
            {"advertisementType": "PodCIDR"}, services(&stage.test, &["LoadBalancerIP", "ExternalIP"]),
        ]))?;
        stage.service(
            "web",
            &json!({"type": "LoadBalancer", "externalIPs": ["198.51.100.9"]}),
            &["172.16.6.1"],
        )?;
        stage.wait_established()?;
        stage.frr.wait_path("172.16.6.1/32")?;
        let before = stage.frr.wait_established("10.0.1.1")?;
        stage.cluster.kubectl(&["label", "node", &stage.test, &format!("{LABEL}=")])?;
        stage.frr.wait_gone("172.16.6.1/32")?;
        stage.frr.wait_gone("198.51.100.9/32")?;
        stage.wait_finding("NodeExcluded")?;
        ensure!(!stage.frr.paths("172.20.1.0/24")?.is_empty(), "pod CIDRs are not the label's business");
        stage.cluster.kubectl(&["label", "node", &stage.test, &format!("{LABEL}-")])?;
        stage.frr.wait_path("172.16.6.1/32")?;
        stage.frr.ensure_same_session("10.0.1.1", &before)
    });
}

#[test]
fn values_that_the_server_lets_through() {
    run("adv-odd", ROUTER, &[], |stage| {
        let odd = json!({"advertisementType": "PodCIDR", "attributes": {"localPreference": -5}});
        stage.advertise(&json!([odd, services(&stage.test, &["LoadBalancerIP"])]))?;
        stage.service("web", &json!({"type": "LoadBalancer"}), &["172.16.7.1"])?;
        stage.wait_established()?;
        // That entry is refused by name, the rest runs.
        stage.frr.wait_path("172.16.7.1/32")?;
        ensure!(stage.wait_finding("LocalPreferenceOutOfRange")?.contains("-5"), "the value");
        ensure!(stage.frr.paths("172.20.1.0/24")?.is_empty(), "an entry with a wrong attribute");
        // Blanks around an address: that peer is left out, the other one stays.
        let before = stage.frr.wait_established("fd00:1::1")?;
        let patch = r#"[{"op": "replace", "path": "/spec/bgpInstances/0/peers/0/peerAddress", "value": " 10.0.1.2 "}]"#;
        stage.cluster.kubectl(&["patch", "cbgpnode", &stage.test, "--type=json", "-p", patch])?;
        stage.frr.wait_down("10.0.1.1", PROMPT)?;
        ensure!(stage.wait_finding("PeerAddressInvalid")?.contains("blanks"), "what is wrong");
        stage.frr.ensure_same_session("fd00:1::1", &before)
    });
}
