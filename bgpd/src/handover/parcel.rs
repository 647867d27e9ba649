//! What is handed over: values of this process, and the frames they become.
//!
//! Invariant: [`FrozenProcess::receive`] gives what [`FrozenProcess::send`] sent, descriptors as copies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bgp_core::ConnId;
use bgp_core::handover::{Handover, RouteFrame, SpeakerState};
use bytes::Bytes;
use ipnet::IpNet;
use rutter_api::intent::Instance;
use serde::{Deserialize, Serialize};

use super::channel::{Channel, ChannelError, Kind};

/// A bgpd, whole.
#[derive(Debug)]
pub struct FrozenProcess {
    /// What all instances have in common.
    pub common: Common,
    /// The instances.
    pub instances: Vec<FrozenInstance>,
}

/// What all instances have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Common {
    /// When the clock of the speakers began, on the machine's monotonic clock.
    pub origin_nanos: u64,
    /// The host name in OPENs.
    pub hostname: Option<String>,
    /// What each owner wants, the configuration file among them.
    pub intents: BTreeMap<String, HeldIntent>,
    /// Owners that were there before a restart and have not put their intent since.
    pub awaited: Vec<String>,
}

/// What one owner wants, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldIntent {
    /// Its hold time, as it was put.
    pub hold_seconds: Option<u32>,
    /// What is left of it.
    pub left: Option<Duration>,
    /// Its instances.
    pub instances: Vec<Arc<Instance>>,
}

/// One instance.
#[derive(Debug)]
pub struct FrozenInstance {
    /// Its name.
    pub name: String,
    /// When it read and wrote last, on the machine's monotonic clock.
    pub frozen_nanos: u64,
    /// The number of the next connection that is accepted.
    pub next_accepted: ConnId,
    /// Neighbours from which nothing is accepted because their key could not be set.
    pub locked_out: Vec<(IpNet, String)>,
    /// The speaker.
    pub speaker: Handover,
    /// The connections of its sessions.
    pub connections: Vec<FrozenConnection>,
    /// Its listening sockets.
    pub listeners: Vec<(SocketAddr, OwnedFd)>,
}

/// A connection of an Established session.
#[derive(Debug)]
pub struct FrozenConnection {
    /// Its number.
    pub conn: ConnId,
    /// The socket.
    pub socket: OwnedFd,
    /// What has still to be written to it, half a message first perhaps.
    pub unsent: Bytes,
}

/// The head of an instance: what is not sent otherwise.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    name: String,
    frozen_nanos: u64,
    next_accepted: ConnId,
    locked_out: Vec<(IpNet, String)>,
    speaker: SpeakerState,
    connections: Vec<ConnId>,
    listeners: Vec<SocketAddr>,
}

impl FrozenProcess {
    /// Sends everything. Our descriptors are closed.
    pub(super) fn send(self, channel: &mut Channel) -> Result<(), ChannelError> {
        channel.put_value(&self.common)?;
        channel.put_value(&self.instances.len())?;
        for instance in self.instances {
            instance.send(channel)?;
        }
        channel.flush()
    }

    /// Receives everything.
    pub(super) fn receive(channel: &mut Channel) -> Result<Self, ChannelError> {
        let common = channel.get_value()?;
        let count: usize = channel.get_value()?;
        let instances = (0..count).map(|_| FrozenInstance::receive(channel)).collect::<Result<_, _>>()?;
        Ok(Self { common, instances })
    }
}

impl FrozenInstance {
    fn send(self, channel: &mut Channel) -> Result<(), ChannelError> {
        let Self { name, frozen_nanos, next_accepted, locked_out, speaker, connections, listeners } = self;
        let (listeners, mut descriptors): (_, Vec<OwnedFd>) = listeners.into_iter().unzip();
        let mut unsent = Vec::new();
        let mut numbers = Vec::new();
        for connection in connections {
            numbers.push(connection.conn);
            unsent.push(connection.unsent);
            descriptors.push(connection.socket);
        }
        channel.put_value(&Head {
            name,
            frozen_nanos,
            next_accepted,
            locked_out,
            speaker: speaker.state,
            connections: numbers,
            listeners,
        })?;
        channel.put_descriptors(&descriptors)?;
        for octets in unsent {
            channel.put(Kind::Unsent, &octets)?;
        }
        for frame in speaker.routes {
            channel.put(Kind::Routes, &frame.to_bytes())?;
        }
        channel.put(Kind::End, &[])
    }

    fn receive(channel: &mut Channel) -> Result<Self, ChannelError> {
        let head: Head = channel.get_value()?;
        let mut descriptors =
            channel.get_descriptors(head.listeners.len() + head.connections.len())?.into_iter();
        let listeners = head.listeners.into_iter().zip(descriptors.by_ref()).collect();
        let mut connections = Vec::new();
        for (conn, socket) in head.connections.into_iter().zip(descriptors) {
            let unsent = channel.get_only(Kind::Unsent)?;
            connections.push(FrozenConnection { conn, socket, unsent });
        }
        let mut routes = Vec::new();
        loop {
            match channel.get()? {
                (Kind::End, _) => break,
                (Kind::Routes, octets) => {
                    let frame = RouteFrame::from_bytes(octets);
                    routes.push(frame.map_err(|error| ChannelError::Unexpected(error.to_string()))?);
                }
                (kind, _) => return Err(ChannelError::Unexpected(format!("{kind:?} among routes"))),
            }
        }
        Ok(Self {
            name: head.name,
            frozen_nanos: head.frozen_nanos,
            next_accepted: head.next_accepted,
            locked_out: head.locked_out,
            speaker: Handover { state: head.speaker, routes },
            connections,
            listeners,
        })
    }
}
