//! Configurations that differ only in what a test is about: one rutter, one FRR, one BIRD and one GoBGP at its end of a
//! link of the star, with timers short enough for tests.

use anyhow::Result;
use frr_interop_tests::{Oracle, Star};
use rutter_lab::{Bird, Frr, GoBgp};

/// rutter's ASN in most tests.
pub(crate) const RUTTER: u32 = 65_000;

/// One neighbour in rutter's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Neighbor {
    name: String,
    address: String,
    asn: u32,
    more: Vec<String>,
}

/// The neighbour on link `link` over IPv4.
pub(crate) fn over_v4(link: usize, asn: u32) -> Neighbor {
    neighbor(&format!("link{link}"), &format!("10.0.{link}.2"), asn, "ipv4-unicast")
}

/// The neighbour on link `link` over IPv6.
pub(crate) fn over_v6(link: usize, asn: u32) -> Neighbor {
    neighbor(&format!("link{link}-v6"), &format!("fd00:{link}::2"), asn, "ipv6-unicast")
}

fn neighbor(name: &str, address: &str, asn: u32, families: &str) -> Neighbor {
    let more = vec![format!("families: [{families}]"), "timers: {connectRetrySeconds: 1}".to_owned()];
    Neighbor { name: name.to_owned(), address: address.to_owned(), asn, more }
}

impl Neighbor {
    /// One more YAML line of the peer; a key that is there already is replaced.
    pub(crate) fn with(mut self, line: &str) -> Self {
        let key = line.split(':').next().unwrap_or_default().to_owned();
        self.more.retain(|old| old.split(':').next() != Some(&key));
        self.more.push(line.to_owned());
        self
    }

    /// The same neighbour at another address.
    pub(crate) fn at(mut self, address: &str) -> Self {
        address.clone_into(&mut self.address);
        self
    }

    /// Lets the neighbour's ASN be whatever it says in its OPEN.
    pub(crate) fn any_asn(mut self) -> Self {
        self.asn = 0;
        self
    }
}

/// rutter's configuration: one instance that listens on port 179. `routes` are YAML flow mappings without braces, for
/// example `prefix: 203.0.113.0/24, med: 5`.
pub(crate) fn rutter(asn: u32, neighbors: &[Neighbor], routes: &[&str]) -> String {
    format!("instances:\n{}", instance("main", asn, "192.0.2.1", "listenPort: 179", neighbors, routes))
}

/// One item of the list of instances; `more` is one line.
pub(crate) fn instance(
    name: &str,
    asn: u32,
    router_id: &str,
    more: &str,
    neighbors: &[Neighbor],
    routes: &[&str],
) -> String {
    let mut yaml = format!("  - name: {name}\n    localASN: {asn}\n    routerID: {router_id}\n");
    if !more.is_empty() {
        yaml.push_str(&format!("    {more}\n"));
    }
    yaml.push_str("    peers:\n");
    for Neighbor { name, address, asn, more } in neighbors {
        yaml.push_str(&format!("      - name: {name}\n        address: \"{address}\"\n"));
        if *asn != 0 {
            yaml.push_str(&format!("        peerASN: {asn}\n"));
        }
        for line in more {
            yaml.push_str(&format!("        {line}\n"));
        }
    }
    if !routes.is_empty() {
        yaml.push_str("    routes:\n");
    }
    for route in routes {
        yaml.push_str(&format!("      - {{{route}}}\n"));
    }
    yaml
}

/// What a daemon announces: prefixes of one family, and lines in the daemon's own language.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants<'a> {
    /// rutter's ASN as this daemon is told; 0 means [`RUTTER`].
    pub(crate) remote_asn: u32,
    /// Prefixes it announces, IPv4 and IPv6.
    pub(crate) networks: &'a [&'a str],
    /// FRR: lines in `router bgp`; BIRD: lines in `protocol bgp`; GoBGP: keys in `[neighbors.config]`.
    pub(crate) session: &'a str,
    /// FRR: lines after `router bgp`; BIRD: top-level lines; GoBGP: tables of the neighbour.
    pub(crate) more: &'a str,
}

impl Wants<'_> {
    fn remote(&self) -> u32 {
        if self.remote_asn == 0 { RUTTER } else { self.remote_asn }
    }
}

/// FRR at the far end of a link, with a session to `remote`; IPv4 addresses carry IPv4 routes, IPv6 addresses both.
pub(crate) fn frr(link: usize, asn: u32, remote: &str, wants: Wants<'_>) -> String {
    let family = |name: &str, v6: bool, activate: bool| {
        let mut lines = format!(" address-family {name} unicast\n");
        if activate {
            lines.push_str(&format!("  neighbor {remote} activate\n"));
        }
        for network in wants.networks.iter().filter(|network| network.contains(':') == v6) {
            lines.push_str(&format!("  network {network}\n"));
        }
        lines + " exit-address-family\n"
    };
    format!(
        "router bgp {asn}\n bgp router-id 10.0.{link}.2\n no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n \
         no bgp network import-check\n neighbor {remote} remote-as {}\n neighbor {remote} timers connect 1\n{}\n{}{}exit\n{}\n",
        wants.remote(),
        wants.session,
        family("ipv4", false, true),
        family("ipv6", true, remote.contains(':')),
        wants.more,
    )
}

/// BIRD at the far end of a link, families as with [`frr`].
pub(crate) fn bird(link: usize, asn: u32, remote: &str, wants: Wants<'_>) -> String {
    let mut statics = String::new();
    for (family, v6) in [("ipv4", false), ("ipv6", true)] {
        statics.push_str(&format!("protocol static {{ {family};\n"));
        for network in wants.networks.iter().filter(|network| network.contains(':') == v6) {
            statics.push_str(&format!("  route {network} blackhole;\n"));
        }
        statics.push_str("}\n");
    }
    let v6 = remote.contains(':');
    let local = if v6 { format!("fd00:{link}::2") } else { format!("10.0.{link}.2") };
    let channel4 = if v6 { "extended next hop on;" } else { "" };
    let channel6 = if v6 { "ipv6 { import all; export all; };" } else { "" };
    let channels = if wants.session.contains("ipv4 {") {
        String::new()
    } else {
        format!("ipv4 {{ import all; export all; {channel4} }}; {channel6}")
    };
    format!(
        "router id 10.0.{link}.2;\nprotocol device {{}}\n{}\n{statics}protocol bgp rutter {{\n local {local} as {asn};\n \
         neighbor {remote} as {};\n connect retry time 1; connect delay time 1; error wait time 1, 2;\n {}\n {channels}\n}}\n",
        wants.more,
        wants.remote(),
        wants.session,
    )
}

/// GoBGP at the far end of a link, families as with [`frr`]. Its networks are added by [`announce_by_gobgp`].
pub(crate) fn gobgp(link: usize, asn: u32, remote: &str, wants: Wants<'_>) -> String {
    let families: &[&str] = if remote.contains(':') { &["ipv4", "ipv6"] } else { &["ipv4"] };
    let families: String = families
        .iter()
        .map(|name| {
            format!(
                "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{name}-unicast\"\n"
            )
        })
        .collect();
    format!(
        "[global.config]\nas = {asn}\nrouter-id = \"10.0.{link}.2\"\n[[neighbors]]\n[neighbors.config]\n\
         neighbor-address = \"{remote}\"\npeer-as = {}\n{}\n[neighbors.timers.config]\nconnect-retry = 1\n\
         idle-hold-time-after-reset = 1\n{}\n{families}",
        wants.remote(),
        wants.session,
        wants.more,
    )
}

/// Adds routes to GoBGP's table; each text is a prefix and attributes as its client takes them.
pub(crate) fn announce_by_gobgp(gobgp: &GoBgp, routes: &[&str]) -> Result<()> {
    for route in routes {
        let family = if route.contains("::") { "ipv6" } else { "ipv4" };
        let mut args = vec!["global", "rib", "-a", family, "add"];
        args.extend(route.split_whitespace());
        gobgp.gobgp(&args)?;
    }
    Ok(())
}

/// One FRR, BIRD and GoBGP on the links 1, 2 and 3 of a star, with ASNs 65001, 65002 and 65003.
#[derive(Debug)]
pub(crate) struct Trio {
    pub(crate) frr: Frr,
    pub(crate) bird: Bird,
    pub(crate) gobgp: GoBgp,
}

/// Names of the hosts of a [`Trio`].
pub(crate) const TRIO: [&str; 3] = ["frr", "bird", "gobgp"];
/// ASNs of a [`Trio`].
pub(crate) const ASNS: [u32; 3] = [65_001, 65_002, 65_003];

impl Trio {
    /// Starts all three, each announcing its own prefixes, with sessions to the hub over IPv4 or IPv6.
    pub(crate) fn start(star: &Star, v6: bool, asns: [u32; 3], networks: [&[&str]; 3]) -> Result<Self> {
        let remote = |link: usize| if v6 { format!("fd00:{link}::1") } else { format!("10.0.{link}.1") };
        let wants = |index: usize| Wants { networks: networks[index], ..Wants::default() };
        let extended = format!(" neighbor {} capability extended-nexthop", remote(1));
        let frr_wants = Wants { session: if v6 { &extended } else { "" }, ..wants(0) };
        let gobgp = star.peer(3)?.gobgp(&gobgp(3, asns[2], &remote(3), wants(2)))?;
        announce_by_gobgp(&gobgp, networks[2])?;
        Ok(Self {
            frr: star.peer(1)?.frr(&frr(1, asns[0], &remote(1), frr_wants))?,
            bird: star.peer(2)?.bird(&bird(2, asns[1], &remote(2), wants(1)))?,
            gobgp,
        })
    }

    /// All three with their link's number.
    pub(crate) fn oracles(&self) -> [(usize, &dyn Oracle); 3] {
        [(1, &self.frr), (2, &self.bird), (3, &self.gobgp)]
    }
}
