//! The three daemons that look on: their configurations, and what they say of the session with rutter.
//!
//! Invariant: they differ only in what each calls a thing. Timers are defaults but for the retries.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Kind;
use super::stage::{HELD, PASSWORD, PREFIX, RUTTER};
use crate::{Bird, Frr, GoBgp};

/// Which session it is: changes when it comes up anew.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Incarnation {
    /// A count, or a time that does not move.
    Exact(String),
    /// Seconds of the day, computed anew at each look.
    About(f64),
}

impl Incarnation {
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::About(one), Self::About(another)) => (one - another).abs() < 0.3,
            (one, another) => one == another,
        }
    }
}

pub(super) fn frr_config(kind: Kind) -> String {
    let restart = if kind == Kind::Handover { " bgp graceful-restart-disable\n" } else { "" };
    format!(
        "router bgp 65001\n bgp router-id 10.0.1.2\n no bgp ebgp-requires-policy\n no bgp network import-check\n{restart} \
         neighbor 10.0.1.1 remote-as {RUTTER}\n neighbor 10.0.1.1 password {PASSWORD}\n neighbor 10.0.1.1 timers 3 {HELD}\n \
         neighbor 10.0.1.1 timers connect 1\n address-family ipv4 unicast\n  network 198.51.1.0/24\n exit-address-family\n\
         exit\n"
    )
}

pub(super) fn bird_config(kind: Kind) -> String {
    let restart = if kind == Kind::Handover { "graceful restart no;" } else { "graceful restart yes;" };
    format!(
        "router id 10.0.2.2;\nprotocol device {{}}\nprotocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; \
         }}; }}\nprotocol static {{ ipv4; route 198.51.2.0/24 blackhole; }}\nprotocol bgp rutter {{\n local 10.0.2.2 as \
         65002;\n neighbor 10.0.2.1 as {RUTTER};\n hold time {HELD}; connect retry time 1; connect delay time 1; error wait \
         time 1, 2;\n {restart}\n ipv4 {{ import all; export all; }};\n}}\n"
    )
}

pub(super) fn gobgp_config(kind: Kind) -> String {
    let (peer, family) = if kind == Kind::Handover {
        ("", "")
    } else {
        (
            "[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\n",
            "[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n",
        )
    };
    format!(
        "[global.config]\nas = 65003\nrouter-id = \"10.0.3.2\"\n[[neighbors]]\n[neighbors.config]\nneighbor-address = \
         \"10.0.3.1\"\npeer-as = {RUTTER}\n[neighbors.timers.config]\nconnect-retry = 1\nidle-hold-time-after-reset = 1\n\
         hold-time = {HELD}\nkeepalive-interval = 3\n{peer}[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\n\
         afi-safi-name = \"ipv4-unicast\"\n{family}"
    )
}

pub(super) fn frr_incarnation(frr: &Frr) -> Result<Incarnation> {
    let shown = frr.show_json("show bgp neighbors 10.0.1.1 json")?;
    let shown = &shown["10.0.1.1"];
    Ok(Incarnation::Exact(format!("{} {}", shown["connectionsEstablished"], shown["connectionsDropped"])))
}

pub(super) fn bird_incarnation(bird: &Bird) -> Result<Incarnation> {
    let shown = bird.birdc("show protocols rutter")?;
    let line = shown.lines().find(|line| line.starts_with("rutter")).context("BIRD has no session")?;
    let since = line.split_whitespace().nth(4).context("BIRD shows no time")?;
    let seconds = since.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?));
    Ok(seconds.map_or_else(|| Incarnation::Exact(since.to_owned()), Incarnation::About))
}

pub(super) fn gobgp_incarnation(gobgp: &GoBgp) -> Result<Incarnation> {
    let shown = gobgp.json(&["neighbor", "10.0.3.1"])?;
    let shown = if shown.is_array() { &shown[0] } else { &shown };
    Ok(Incarnation::Exact(format!("{} {}", shown["timers"]["state"]["uptime"], shown["state"]["flops"])))
}

/// What GoBGP's monitor says about the prefix in one line: it is there (true), or withdrawn.
pub(super) fn monitored(line: &str) -> Option<bool> {
    // One array of paths per line.
    let paths: Value = serde_json::from_str(line).ok()?;
    let paths = paths.as_array()?;
    let ours = paths.iter().filter(|path| path["nlri"]["prefix"] == PREFIX);
    ours.map(|path| path["withdrawal"] != true).next_back()
}

/// Whether each daemon has the prefix, all by name.
pub(super) fn has_prefix(frr: &Frr, bird: &Bird, gobgp: &GoBgp, prefix: &str) -> Result<[bool; 3]> {
    let frr = frr.show_json(&format!("show bgp ipv4 unicast {prefix} json"))?["prefix"] == prefix;
    let bird = bird.birdc(&format!("show route {prefix}")).is_ok_and(|shown| shown.contains(prefix));
    let gobgp = gobgp.json(&["global", "rib"])?[prefix].is_array();
    Ok([frr, bird, gobgp])
}
