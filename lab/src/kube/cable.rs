//! Cables between the control plane's host and others.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};

use crate::host::Host;
use crate::kube::{ControlPlane, SERVER};
use crate::lab::plug;

/// What the cable is called on the attached host.
const INTERFACE: &str = "kube0";
/// Cables a control plane can have: networks of four addresses above the server's in 100.64.0.0/10.
const MOST: u32 = 1 << 16;

/// A host on the cable of a control plane.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The host's address on the cable, unique among the hosts of this control plane: what a Pod on the host has as
    /// `status.podIP`, if the server is to reach it (`hostNetwork`).
    pub address: Ipv4Addr,
    port: String,
}

impl ControlPlane {
    /// Lays a cable to this host, on which it is called `kube0`. Then the host reaches the server, and the server reaches
    /// [`Attachment::address`].
    pub fn attach(&self, host: &Host) -> Result<Attachment> {
        let number = self.cables.fetch_add(1, Ordering::Relaxed) + 1;
        ensure!(number < MOST, "a control plane has at most {MOST} cables");
        let network = u32::from(SERVER) - 1 + number * 4;
        let (ours, theirs) = (Ipv4Addr::from(network + 1), Ipv4Addr::from(network + 2));
        let port = format!("cable{number}");
        let (our_network, their_network) = (format!("{ours}/30"), format!("{theirs}/30"));
        plug(self.host().port(&port, &[&our_network]), host.port(INTERFACE, &[&their_network]))
            .with_context(|| format!("attaching host {} to the control plane", host.name()))?;
        host.ip(&["route", "add", &format!("{SERVER}/32"), "via", &ours.to_string(), "dev", INTERFACE])?;
        Ok(Attachment { address: theirs, port })
    }

    /// Makes the server reach another address of an attached host too, for example the InternalIP of its node.
    pub fn route(&self, prefix: &str, attachment: &Attachment) -> Result<()> {
        let via = attachment.address.to_string();
        self.host().ip(&["route", "replace", prefix, "via", &via, "dev", &attachment.port])?;
        Ok(())
    }
}
