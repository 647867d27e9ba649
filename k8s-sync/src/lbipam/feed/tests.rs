//! Tests of the feed: who is handed over, and who is not.

use super::*;

type Map = Arc<BTreeMap<u32, Arc<u8>>>;

fn map(of: &[(u32, &Arc<u8>)]) -> Map {
    Arc::new(of.iter().map(|(key, value)| (*key, Arc::clone(value))).collect())
}

fn found(before: &Map, after: &Map) -> Vec<(Option<u8>, Option<u8>)> {
    let text = |object: Option<&Arc<u8>>| object.map(|object| **object);
    differences(before, after).map(|(before, after)| (text(before), text(after))).collect()
}

#[test]
fn only_what_differs() {
    let [a, b, c, d] = [b'a', b'b', b'c', b'd'].map(Arc::new);
    let before = map(&[(1, &a), (2, &b), (4, &c)]);
    assert_eq!(found(&before, &before), []);
    assert_eq!(found(&before, &map(&[(1, &a), (2, &b), (4, &c)])), []);
    let after = map(&[(2, &d), (3, &a), (4, &c), (5, &b)]);
    let expected = [(Some(b'a'), None), (Some(b'b'), Some(b'd')), (None, Some(b'a')), (None, Some(b'b'))];
    assert_eq!(found(&before, &after), expected);
    assert_eq!(found(&map(&[]), &before).len(), 3);
    assert_eq!(found(&before, &map(&[])).len(), 3);
}

const POOL: &str = "apiVersion: cilium.io/v2
kind: CiliumLoadBalancerIPPool
metadata: {name: p}
spec: {blocks: [{cidr: 172.16.1.0/24}]}
";

fn service(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{type: LoadBalancer, ports: [{{port: 80}}]}}\n"
    )
}

/// The addresses that a plan gives, by Service.
fn given(ipam: &mut Ipam) -> Vec<String> {
    let plan = ipam.plan(Timestamp::UNIX_EPOCH);
    let text = |change: &lbipam::ServiceChange| {
        let list = change.ingress.iter().flatten().filter_map(|entry| entry.ip);
        format!("{} {}", change.service.key, list.map(|ip| ip.to_string()).collect::<Vec<_>>().join(" "))
    };
    plan.services.iter().map(text).collect()
}

#[test]
fn the_allocator_sees_what_the_directory_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut directory = crate::manifests::Directory::new(folder.path());
    let mut snapshot = Arc::new(Snapshot::default());
    let mut ipam = Ipam::new(lbipam::Settings::default());
    let mut step = |text: &str, ipam: &mut Ipam| {
        std::fs::write(folder.path().join("a.yaml"), text).unwrap();
        directory.refresh(Timestamp::UNIX_EPOCH);
        let now = directory.snapshot();
        feed(ipam, &snapshot, &now, Timestamp::UNIX_EPOCH);
        snapshot = now;
        given(ipam)
    };
    assert_eq!(step(&service("a"), &mut ipam), [""; 0], "without a pool nothing happens");
    let two = format!("{POOL}{}{}", service("a"), service("b"));
    assert_eq!(step(&two, &mut ipam), ["default/a 172.16.1.0", "default/b 172.16.1.1"]);
    assert_eq!(step(&format!("{POOL}{}", service("b")), &mut ipam), ["default/b 172.16.1.1"]);
    let three = format!("{POOL}{}{}", service("b"), service("c"));
    assert_eq!(step(&three, &mut ipam), ["default/b 172.16.1.1", "default/c 172.16.1.0"]);
    let cluster_ip = service("b").replace("LoadBalancer", "ClusterIP");
    assert_eq!(step(&format!("{POOL}{cluster_ip}{}", service("c")), &mut ipam), ["default/c 172.16.1.0"]);

    let mut fresh = Ipam::new(lbipam::Settings::default());
    feed(&mut fresh, &Snapshot::default(), &snapshot, Timestamp::UNIX_EPOCH);
    assert_eq!(given(&mut fresh), ["default/c 172.16.1.0"]);
}

#[test]
fn a_pool_over_a_node_gives_nothing_if_its_owner_asked() {
    let folder = tempfile::tempdir().unwrap();
    let pool =
        POOL.replace("{name: p}", "{name: p, annotations: {rutter.dev/refuse-cluster-ranges: 'true'}}");
    let node = "---
apiVersion: v1
kind: Node
metadata: {name: w1}
status: {addresses: [{type: InternalIP, address: 172.16.1.9}]}
";
    let mut ipam = Ipam::new(lbipam::Settings::default());
    let mut directory = crate::manifests::Directory::new(folder.path());
    let mut before = Arc::new(Snapshot::default());
    // Nobody asks at first, then somebody does, then the node leaves.
    for (text, addresses) in [
        (format!("{POOL}{}{node}", service("a")), "172.16.1.0"),
        (format!("{pool}{}{}{node}", service("a"), service("b")), ""),
        (format!("{pool}{}{}", service("a"), service("b")), "172.16.1.1"),
    ] {
        std::fs::write(folder.path().join("a.yaml"), text).unwrap();
        directory.refresh(Timestamp::UNIX_EPOCH);
        let after = directory.snapshot();
        feed(&mut ipam, &before, &after, Timestamp::UNIX_EPOCH);
        before = after;
        let given = given(&mut ipam);
        assert_eq!(given.last().and_then(|last| last.split(' ').nth(1)), Some(addresses), "{given:?}");
    }
}
