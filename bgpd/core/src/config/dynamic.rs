//! Dynamic neighbours: ranges of addresses from which connections make peers.
//!
//! Invariant: an address belongs to at most one [`DynamicPeers`]: the one with the longest range that holds it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{ConfigError, PeerConfig, SpeakerSettings, check_peer};

/// Neighbours that are not known by address. Each that connects becomes a peer for as long as it stays.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicPeers {
    /// Name, unique among those of the speaker.
    pub name: Arc<str>,
    /// Where they come from.
    pub ranges: Vec<IpNet>,
    /// How many there may be at the same time.
    pub limit: u32,
    /// What they all have. Name and address are each one's own.
    pub template: PeerConfig,
}

impl DynamicPeers {
    /// The length of the longest range with this address.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> Option<u8> {
        self.ranges.iter().filter(|range| range.contains(&address)).map(IpNet::prefix_len).max()
    }

    /// The peer that a connection from this address makes. Its name is its address.
    #[must_use]
    pub fn peer(&self, address: IpAddr) -> PeerConfig {
        PeerConfig {
            name: Arc::from(address.to_string()),
            address,
            passive: true,
            dynamic: Some(Arc::clone(&self.name)),
            ..self.template.clone()
        }
    }
}

impl SpeakerSettings {
    /// To which dynamic neighbours an address belongs.
    #[must_use]
    pub fn dynamic_for(&self, address: IpAddr) -> Option<&DynamicPeers> {
        let held = |group: &'_ DynamicPeers| group.holds(address);
        self.dynamic.iter().filter(|group| held(group).is_some()).max_by_key(|group| held(group))
    }
}

/// What is wrong with dynamic neighbours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DynamicFault {
    /// They could not come.
    #[error("the speaker does not listen; set a listen port")]
    NoListener,
    /// From nowhere.
    #[error("no range of addresses; give at least one")]
    NoRange,
    /// As a mask, something else was meant.
    #[error("range {range} has host bits set; write {instead}")]
    HostBits {
        /// As given.
        range: IpNet,
        /// Without host bits.
        instead: IpNet,
    },
    /// Two of the same range.
    #[error("range {0} is also that of {1:?}")]
    SameRange(IpNet, Arc<str>),
    /// Nobody could come.
    #[error("a limit of 0 refuses everybody; give at least 1")]
    Limit,
    /// The kernel looks for keys by address.
    #[error(
        "peer {peer:?} has no key of its own and lies in range {range}, which has one: the kernel would ask it for that; \
         give the peer the key, or one of its own"
    )]
    KeyOverPeer {
        /// The static peer.
        peer: Arc<str>,
        /// The range.
        range: IpNet,
    },
}

pub(super) fn check(settings: &SpeakerSettings) -> Result<(), ConfigError> {
    for (position, group) in settings.dynamic.iter().enumerate() {
        let fail = |fault| ConfigError::Dynamic { name: Arc::clone(&group.name), fault };
        let earlier = || settings.dynamic.iter().take(position);
        if earlier().any(|other| other.name == group.name) {
            return Err(ConfigError::DuplicateName(Arc::clone(&group.name)));
        }
        if settings.listen_port.is_none() {
            return Err(fail(DynamicFault::NoListener));
        }
        if group.limit == 0 {
            return Err(fail(DynamicFault::Limit));
        }
        if group.ranges.is_empty() {
            return Err(fail(DynamicFault::NoRange));
        }
        for (nth, range) in group.ranges.iter().enumerate() {
            if range.trunc() != *range {
                return Err(fail(DynamicFault::HostBits { range: *range, instead: range.trunc() }));
            }
            if group.ranges.iter().take(nth).any(|other| other == range) {
                return Err(fail(DynamicFault::SameRange(*range, Arc::clone(&group.name))));
            }
            if let Some(other) = earlier().find(|other| other.ranges.contains(range)) {
                return Err(fail(DynamicFault::SameRange(*range, Arc::clone(&other.name))));
            }
            let signed = |peer: &PeerConfig| peer.password.is_some() || peer.tcp_ao.is_some();
            let beside = |peer: &&PeerConfig| range.contains(&peer.address) && !signed(peer);
            if let Some(peer) = settings.peers.iter().filter(|_| signed(&group.template)).find(beside) {
                let peer = Arc::clone(&peer.name);
                return Err(fail(DynamicFault::KeyOverPeer { peer, range: *range }));
            }
        }
        // Whatever holds for a peer holds for each of them; the address of an example stands for theirs.
        let v4 = group.ranges.iter().any(|range| range.addr().is_ipv4());
        let example: IpAddr =
            if v4 { [192, 0, 2, 1].into() } else { [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into() };
        check_peer(settings, &group.peer(example))
            .map_err(|fault| ConfigError::Peer { peer: Arc::clone(&group.name), fault })?;
    }
    Ok(())
}
