//! Tests of allocation without an API server, over manifests.

use std::fs;

use jiff::SignedDuration;

use super::*;
use crate::manifests::Directory;

struct World {
    folder: tempfile::TempDir,
    directory: Directory,
    local: Local,
    now: Timestamp,
}

impl World {
    fn new(allocation: Allocation) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::new(folder.path());
        Self { folder, directory, local: Local::new(allocation), now: Timestamp::UNIX_EPOCH }
    }

    /// The manifests are this now. Gives every address as `name=address`.
    fn step(&mut self, manifests: &str) -> Vec<String> {
        fs::write(self.folder.path().join("a.yaml"), manifests).unwrap();
        self.look()
    }

    fn look(&mut self) -> Vec<String> {
        self.directory.refresh(self.now);
        self.local.step(&self.directory.snapshot(), self.directory.is_certain(), self.now);
        self.addresses()
    }

    fn addresses(&self) -> Vec<String> {
        let snapshot = self.local.snapshot();
        let of = |service: &Arc<Service>| -> Vec<String> {
            let ips = service.spec.ingress.iter().filter_map(|entry| entry.ip.clone());
            ips.map(|ip| format!("{}={ip}", service.name.name)).collect()
        };
        snapshot.services.values().flat_map(of).collect()
    }

    fn waits(&self, name: &str) -> String {
        let snapshot = self.local.snapshot();
        let service = &snapshot.services[&NamespacedName::new("default", name)];
        service.spec.waits.as_deref().unwrap_or_default().to_owned()
    }

    /// Another process, with what this one wrote down.
    fn again(self) -> Self {
        let memory = serde_json::to_string(self.local.memory()).unwrap();
        let mut local = Local::new(self.local.allocation.clone());
        local.recall(serde_json::from_str(&memory).unwrap());
        Self { local, directory: Directory::new(self.folder.path()), folder: self.folder, now: self.now }
    }
}

const POOL: &str = "---
apiVersion: cilium.io/v2
kind: CiliumLoadBalancerIPPool
metadata: {name: p}
spec: {blocks: [{cidr: 10.0.0.0/24}]}
";

fn service(name: &str, spec: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{type: LoadBalancer, ports: [{{port: 80}}]{spec}}}\n{rest}"
    )
}

fn plain(names: &[&str]) -> String {
    names.iter().map(|name| service(name, "", "")).collect()
}

#[test]
fn addresses_are_given_and_stay_across_restarts() {
    let mut world = World::new(Allocation::default());
    assert_eq!(world.step(&format!("{POOL}{}", plain(&["b"]))), ["b=10.0.0.0"]);
    assert_eq!(world.step(&format!("{POOL}{}", plain(&["a", "b"]))), ["a=10.0.0.1", "b=10.0.0.0"]);
    assert!(world.local.step(&world.directory.snapshot(), true, world.now).is_none(), "nothing new");
    let mut world = world.again();
    assert_eq!(world.look(), ["a=10.0.0.1", "b=10.0.0.0"]);
    assert_eq!(world.local.pools()[0].ipv4.used, 2_u8.into());
    // Without memory the order of names decides.
    world.local = Local::new(Allocation::default());
    assert_eq!(world.look(), ["a=10.0.0.0", "b=10.0.0.1"]);
}

#[test]
fn a_status_that_was_brought_stays_and_its_address_is_nobody_elses() {
    let brought = |name: &str, ip: &str| {
        service(name, "", &format!("status: {{loadBalancer: {{ingress: [{{ip: {ip}}}]}}}}\n"))
    };
    let mut world = World::new(Allocation::default());
    let manifests = format!(
        "{POOL}{}{}{}",
        plain(&["a"]),
        brought("inside", "10.0.0.0"),
        brought("outside", "192.0.2.1")
    );
    let expected = ["a=10.0.0.1", "inside=10.0.0.0", "outside=192.0.2.1"];
    assert_eq!(world.step(&manifests), expected);
    assert!(!serde_json::to_string(world.local.memory()).unwrap().contains("outside"));
    let mut world = world.again();
    assert_eq!(world.look(), expected);
    world.now = world.now.checked_add(SignedDuration::from_secs(31)).unwrap();
    assert_eq!(world.look(), expected, "not even when an address that no pool has would be taken away");
    // Taken away, the Service gets one like every other.
    let manifests = format!("{POOL}{}", plain(&["a", "inside", "outside"]));
    assert_eq!(world.step(&manifests), ["a=10.0.0.1", "inside=10.0.0.0", "outside=10.0.0.2"]);
    let manifests = format!("{POOL}{}{}", plain(&["a", "inside"]), brought("outside", "10.0.0.1"));
    let all = world.step(&manifests);
    assert_eq!(all[2], "outside=10.0.0.1", "{all:?}");
}

#[test]
fn why_there_is_no_address() {
    let mut world = World::new(Allocation::default());
    world.step(&plain(&["a"]));
    assert_eq!(world.waits("a"), "there is no CiliumLoadBalancerIPPool");
    let other = service("other", ", loadBalancerClass: example.com/x", "");
    let wish = service("wish", ", loadBalancerIP: 192.0.2.7", "");
    world.step(&format!("{POOL}{other}{wish}"));
    assert_eq!(world.waits("other"), "its loadBalancerClass \"example.com/x\" is somebody else's");
    assert!(world.waits("wish").starts_with("no_pool: "), "{}", world.waits("wish"));
    let mut off = World::new(Allocation { lb_ipam: false, ..Allocation::default() });
    assert_eq!(off.step(&format!("{POOL}{}", plain(&["a"]))), [""; 0]);
    assert_eq!(off.waits("a"), "LB IPAM is off (--enable-lb-ipam=false)");
}

#[test]
fn a_service_that_is_gone_for_a_moment_finds_its_address_again() {
    let mut world = World::new(Allocation::default());
    world.step(&format!("{POOL}{}", plain(&["a", "b", "c"])));
    assert_eq!(world.step(&format!("{POOL}{}", plain(&["c"]))), ["c=10.0.0.2"]);
    assert_eq!(world.step(&format!("{POOL}{}", plain(&["b", "c"]))), ["b=10.0.0.1", "c=10.0.0.2"]);
    // Somebody else moved in meanwhile.
    assert_eq!(world.step(&format!("{POOL}{}", plain(&["b", "c", "d"])))[2], "d=10.0.0.0");
    assert_eq!(world.step(&format!("{POOL}{}", plain(&["a", "b", "c", "d"])))[0], "a=10.0.0.3");
    world.step(&format!("{POOL}{}", plain(&["d"])));
    world.now = world.now.checked_add(SignedDuration::from_mins(11)).unwrap();
    world.step(&format!("{POOL}{}# later\n", plain(&["d"])));
    let memory = serde_json::to_string(world.local.memory()).unwrap();
    assert_eq!(memory, "{\"services\":{\"default/d\":{\"addresses\":[\"10.0.0.0\"]}}}");
}

#[test]
fn what_is_not_known_is_not_forgotten() {
    let mut world = World::new(Allocation::default());
    world.step(&format!("{POOL}{}", plain(&["a"])));
    fs::write(world.folder.path().join("b.yaml"), plain(&["b"])).unwrap();
    world.look();
    fs::write(world.folder.path().join("b.yaml"), "kind: [").unwrap();
    let mut world = world.again();
    assert_eq!(world.look(), ["a=10.0.0.0"]);
    world.now = world.now.checked_add(SignedDuration::from_hours(1)).unwrap();
    assert_eq!(world.step(&format!("{POOL}{}", plain(&["a", "aa"]))), ["a=10.0.0.0", "aa=10.0.0.2"]);
    fs::write(world.folder.path().join("b.yaml"), plain(&["b"])).unwrap();
    assert_eq!(world.look(), ["a=10.0.0.0", "aa=10.0.0.2", "b=10.0.0.1"]);
}

#[test]
fn two_that_share_a_directory_and_a_memory_agree() {
    let folder = tempfile::tempdir().unwrap();
    let mut directory = Directory::new(folder.path());
    let (mut one, mut two) = (Local::new(Allocation::default()), Local::new(Allocation::default()));
    let now = Timestamp::UNIX_EPOCH;
    let mut names: Vec<&str> = Vec::new();
    for name in ["m", "c", "x", "a", "q"] {
        names.push(name);
        fs::write(folder.path().join("a.yaml"), format!("{POOL}{}", plain(&names))).unwrap();
        directory.refresh(now);
        // Whoever comes first writes down what the other reads.
        let (first, second) =
            if names.len().is_multiple_of(2) { (&mut one, &mut two) } else { (&mut two, &mut one) };
        first.step(&directory.snapshot(), true, now);
        second.recall(first.memory().clone());
        second.step(&directory.snapshot(), true, now);
        assert_eq!(first.memory(), second.memory());
    }
    assert_eq!(one.memory().services["default/q"].addresses, ["10.0.0.4".parse::<IpAddr>().unwrap()]);
}

#[test]
fn a_deleted_pool_takes_its_addresses_along_after_a_while() {
    let mut world = World::new(Allocation::default());
    world.step(&format!("{POOL}{}", plain(&["a"])));
    assert_eq!(world.step(&plain(&["a"])), ["a=10.0.0.0"]);
    world.now = world.now.checked_add(SignedDuration::from_secs(31)).unwrap();
    assert_eq!(world.look(), [""; 0]);
    assert!(world.local.memory().is_empty());
}

#[test]
fn findings_about_pools_and_nodes() {
    let settings = Settings { node_ipam: true, ..Settings::default() };
    let mut world = World::new(Allocation { settings, ..Allocation::default() });
    let node = "---\napiVersion: v1\nkind: Node\nmetadata: {name: w1}\nstatus: {addresses: [{type: InternalIP, address: 192.0.2.1}]}\n";
    let served = service("nodes", ", loadBalancerClass: io.cilium/node", "");
    let bad =
        served.replace("name: nodes", "name: bad, annotations: {io.cilium.nodeipam/match-node-labels: a b}");
    let pool = POOL.replace("[{cidr", "[{start: 10.0.0.9, stop: 10.0.0.3}, {cidr");
    assert_eq!(world.step(&format!("{pool}{node}{served}{bad}")), ["nodes=192.0.2.1"]);
    assert!(world.local.memory().is_empty(), "addresses of nodes need not be remembered");
    let report = world.local.report().to_string();
    assert!(report.contains("CiliumLoadBalancerIPPool p: rutter.dev/InvalidBlock"), "{report}");
    assert!(
        report.contains("Service default/bad: metadata.annotations: annotation io.cilium.nodeipam"),
        "{report}"
    );
    assert_eq!(report.lines().count(), 2, "{report}");
}

#[test]
fn an_edit_that_would_move_somebody_waits_for_a_word_in_the_file() {
    let pool = |cidr: &str, more: &str| {
        POOL.replace(
            "{name: p}",
            &format!("{{name: p, annotations: {{rutter.dev/safe-shrink: 'true'{more}}}}}"),
        )
        .replace("10.0.0.0/24", cidr)
    };
    let mut world = World::new(Allocation::default());
    let services = plain(&["a", "b", "c"]);
    world.step(&format!("{}{services}", pool("10.0.0.0/24", "")));
    let kept = ["a=10.0.0.0", "b=10.0.0.1", "c=10.0.0.2"];
    assert_eq!(world.step(&format!("{}{services}", pool("10.0.0.0/31", ""))), kept);
    let report = world.local.report().to_string();
    assert!(report.contains("rutter.dev/EditStaged") && report.contains("confirm-edit=2"), "{report}");
    let mut world = world.again();
    assert_eq!(world.look(), kept);
    let confirmed = pool("10.0.0.0/31", ", rutter.dev/confirm-edit: '2'");
    assert_eq!(world.step(&format!("{confirmed}{services}")), ["a=10.0.0.0", "b=10.0.0.1"]);
    assert!(world.waits("c").starts_with("out_of_ips"), "{}", world.waits("c"));
}

#[test]
fn a_block_that_only_an_api_server_takes_is_bad_and_the_others_serve() {
    let mut world = World::new(Allocation::default());
    let pool = POOL.replace("[{cidr", "[{cidr: 010.0.1.0/24}, {cidr: '::ffff:10.0.2.0/120'}, {cidr");
    assert_eq!(world.step(&format!("{pool}{}", plain(&["a"]))), ["a=10.0.0.0"]);
    assert_eq!(world.directory.report().to_string(), "");
    assert!(world.local.report().to_string().contains("InvalidBlock"), "{}", world.local.report());
    let pool = POOL.replace("10.0.0.0/24", "10.0.0/24");
    world.step(&format!("{pool}{}", plain(&["a"])));
    assert!(world.directory.report().to_string().contains("is not a CIDR"), "{}", world.directory.report());
}

#[test]
fn addresses_are_reserved_for_those_who_ask_and_by_those_who_write_it_down() {
    let mut world = World::new(Allocation::default());
    let held =
        service("a", "", "").replace("name: a", "name: a, annotations: {rutter.dev/reservation-grace: 1h}");
    world.step(&format!("{POOL}{held}"));
    assert_eq!(world.addresses(), ["a=10.0.0.0"]);
    assert_eq!(world.local.snapshot().lb_reservations.len(), 1, "made for the Service");
    let written = "---\napiVersion: rutter.dev/v1alpha1\nkind: LoadBalancerIPReservation\nmetadata: {name: r}\n\
        spec: {addresses: [10.0.0.1], serviceRef: {namespace: default, name: z}}\n";
    assert_eq!(world.step(&format!("{POOL}{written}{}", plain(&["b"]))), ["b=10.0.0.2"]);
    let mut world = world.again();
    world.now = world.now.checked_add(SignedDuration::from_mins(30)).unwrap();
    assert_eq!(world.look(), ["b=10.0.0.2"]);
    let all = world.step(&format!("{POOL}{written}{}{held}", plain(&["b", "c", "z"])));
    assert_eq!(all, ["a=10.0.0.0", "b=10.0.0.2", "c=10.0.0.3", "z=10.0.0.1"]);
    world.step(&format!("{POOL}{written}{}", plain(&["b", "c", "z"])));
    world.now = world.now.checked_add(SignedDuration::from_mins(61)).unwrap();
    assert_eq!(
        world.step(&format!("{POOL}{}", plain(&["b", "c", "d", "z"])))[2],
        "d=10.0.0.0",
        "its time is over"
    );
    assert!(world.local.snapshot().lb_reservations.is_empty());
    assert!(!serde_json::to_string(world.local.memory()).unwrap().contains("reservations"));
}
