//! The topology of most tests: rutter's host in the middle, one cable to each peer host.

use std::time::Duration;

use anyhow::{Context, Result};
use rutter_lab::{Bgpd, Host, Lab};

/// How long a test waits for what should happen: generous, for a busy machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A lab with a hub and its neighbours. Link `i` (from 1) is `10.0.i.0/24` and `fd00:i::/64`; the hub is `.1` and
/// `::1` on its interface `eth<i>`, the peer is `.2` and `::2` on its `eth0`.
#[derive(Debug)]
pub struct Star {
    /// The lab, which owns the hosts.
    pub lab: Lab,
    /// The host in the middle, in most tests rutter's.
    pub hub: Host,
    /// The peers' hosts, in the order of their links.
    pub peers: Vec<Host>,
}

impl Star {
    /// Hosts and links, no software yet.
    pub fn new(name: &str, peers: &[&str]) -> Result<Self> {
        let lab = Lab::new(name)?;
        let hub = lab.host("hub")?;
        let mut hosts = Vec::new();
        for (index, peer) in (1u8..).zip(peers) {
            let peer = lab.host(peer)?;
            let addresses = |end: u8| [format!("10.0.{index}.{end}/24"), format!("fd00:{index}::{end}/64")];
            let (ours, theirs) = (addresses(1), addresses(2));
            let (ours, theirs) = (ours.each_ref().map(String::as_str), theirs.each_ref().map(String::as_str));
            lab.link(hub.port(&format!("eth{index}"), &ours), peer.port("eth0", &theirs))?;
            hosts.push(peer);
        }
        Ok(Self { lab, hub, peers: hosts })
    }

    /// Starts rutter's bgpd on the hub.
    pub fn bgpd(&self, config: &str) -> Result<Bgpd> {
        self.hub.bgpd(config)
    }

    /// The host of the peer on link `number`, from 1.
    pub fn peer(&self, number: usize) -> Result<&Host> {
        number
            .checked_sub(1)
            .and_then(|index| self.peers.get(index))
            .with_context(|| format!("no peer {number}"))
    }
}

/// Runs a test body in a star; on failure the logs of all daemons go with the error.
#[track_caller]
pub fn run(name: &str, peers: &[&str], body: impl FnOnce(&Star) -> Result<()>) {
    let outcome = Star::new(name, peers)
        .map_err(|error| format!("{error:#}"))
        .and_then(|star| body(&star).map_err(|error| format!("{error:#}\n{}", star.lab.logs())));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
