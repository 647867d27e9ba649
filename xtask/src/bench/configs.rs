//! Configurations of the three roles in the relay benchmark, the same job written for each daemon.
//!
//! Invariant: no daemon writes routes to a kernel and none applies a policy beyond accepting, so that only the BGP work
//! is compared.

use std::fmt::Write as _;

/// The sender announces `routes` /24 prefixes that share `sets` different attribute sets.
pub(super) fn bird_sender(routes: u32, sets: u32) -> String {
    let mut config = String::from(
        "router id 10.1.0.1;\nlog stderr { warning, error, fatal };\nprotocol device {}\n\
         protocol bgp dut {\n  local 10.1.0.1 as 65001;\n  neighbor 10.1.0.2 as 65002;\n  connect delay time 1;\n\
         \x20 connect retry time 1;\n  error wait time 1, 2;\n  ipv4 { import none; export where source = RTS_STATIC; };\n}\n\
         protocol static {\n  ipv4;\n",
    );
    for route in 0..routes {
        let prefix = (16 << 24) + (route << 8);
        let [a, b, c, _] = u32::to_be_bytes(prefix);
        let set = route % sets;
        let (high, low) = (set / 60_000, set % 60_000);
        // Writing to a string cannot fail.
        let _ = writeln!(
            config,
            "  route {a}.{b}.{c}.0/24 blackhole {{ bgp_community.add(({}, {low})); bgp_med = {}; }};",
            65_001 + high,
            set % 7
        );
    }
    config.push_str("}\n");
    config
}

/// FRR at the end of the line; it keeps the routes to itself.
pub(super) const FRR_RECEIVER: &str = "\
router bgp 65003
  bgp router-id 10.2.0.3
  no bgp ebgp-requires-policy
  no bgp network import-check
  neighbor 10.2.0.2 remote-as 65002
  neighbor 10.2.0.2 timers 30 90
  neighbor 10.2.0.2 timers connect 1
  address-family ipv4 unicast
    table-map NONE
  exit-address-family
route-map NONE deny 10
";

pub(super) const BGPD: &str = "\
instances:
  - name: relay
    localASN: 65002
    routerID: 10.1.0.2
    listenPort: 179
    peers:
      - { name: sender, address: 10.1.0.1, peerASN: 65001, families: [ipv4-unicast], timers: { connectRetrySeconds: 1 } }
      - { name: receiver, address: 10.2.0.3, peerASN: 65003, families: [ipv4-unicast], timers: { connectRetrySeconds: 1 } }
";

pub(super) const BIRD: &str = "\
router id 10.1.0.2;
log stderr { warning, error, fatal };
protocol device {}
template bgp neighbours { local as 65002; connect delay time 1; connect retry time 1; error wait time 1, 2; ipv4 { import all; export all; }; }
protocol bgp sender from neighbours { local 10.1.0.2; neighbor 10.1.0.1 as 65001; }
protocol bgp receiver from neighbours { local 10.2.0.2; neighbor 10.2.0.3 as 65003; }
";

pub(super) const FRR: &str = "\
router bgp 65002
  bgp router-id 10.1.0.2
  no bgp ebgp-requires-policy
  no bgp network import-check
  neighbor 10.1.0.1 remote-as 65001
  neighbor 10.1.0.1 timers connect 1
  neighbor 10.2.0.3 remote-as 65003
  neighbor 10.2.0.3 timers connect 1
  address-family ipv4 unicast
    table-map NONE
  exit-address-family
route-map NONE deny 10
";

pub(super) const GOBGP: &str = "\
[global.config]
as = 65002
router-id = '10.1.0.2'
[[neighbors]]
[neighbors.config]
neighbor-address = '10.1.0.1'
peer-as = 65001
[neighbors.timers.config]
connect-retry = 1
[[neighbors]]
[neighbors.config]
neighbor-address = '10.2.0.3'
peer-as = 65003
[neighbors.timers.config]
connect-retry = 1
";
