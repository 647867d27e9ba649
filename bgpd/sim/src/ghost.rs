//! Connections that no speaker opened: what is left of a process that is gone, a second process under the same address, a
//! peer behind a middlebox that duplicates. To the listening node they come from its peer.
//!
//! Invariant: a ghost ends by itself within [`LONGEST`], so that a world can come to rest.

use std::time::Duration;

use bgp_core::ConnId;
use bgp_core::wire::{Capability, KEEPALIVE, Notification, Open, cease};
use bytes::Bytes;

use crate::stream::{Parcel, Phase, Stream};
use crate::world::{Figures, LinkState, What, World};

/// How long a ghost stays at most.
const LONGEST: Duration = Duration::from_secs(60);

impl World {
    /// Opens a connection from one node's address to the other end of a link: silent, or with words of its own.
    pub fn haunt(&mut self, link: usize) {
        let ends = self.links[link].ends;
        let [from, to] = if self.dice.chance(50) { ends } else { [ends[1], ends[0]] };
        if self.links[link].state != LinkState::Up || self.nodes[to].speaker.is_none() {
            return;
        }
        let nobody = ConnId::new(u64::MAX);
        let stream = self.streams.len();
        self.streams.push(Stream::new(link, 1 << 16, (from, nobody), (to, nobody)));
        // Nobody is there to be told; whatever arrives is swallowed.
        self.streams[stream].ends[0].phase = Phase::Closed;
        self.figures.ghosts += 1;
        let delay = self.links[link].delay;
        self.schedule(delay, What::Accept(stream));
        let words = self.ghost_words(from);
        self.note(format_args!("a ghost of node {from} calls node {to} with {} messages", words.len()));
        for message in words {
            self.streams[stream].ends[0].in_flight += message.len();
            self.post(stream, 1, Parcel::Data(message));
        }
        let stay = self.dice.span(LONGEST);
        self.schedule(delay * 3 + stay, What::GhostOver(stream));
    }

    /// What a ghost says: nothing, garbage, a NOTIFICATION, or what its node would say.
    fn ghost_words(&mut self, node: usize) -> Vec<Bytes> {
        let settings = &self.nodes[node].settings;
        let open = Open {
            asn: settings.local_asn,
            hold_time: 9,
            router_id: settings.router_id,
            capabilities: vec![Capability::FourOctetAs(settings.local_asn)],
        };
        let open = open.encode().unwrap_or_default();
        let keepalive = Bytes::from_static(&KEEPALIVE);
        match self.dice.below(6) {
            0 => Vec::new(),
            1 => vec![Bytes::from_static(&[0x5a; 40])],
            2 => vec![Notification::cease(cease::CONNECTION_REJECTED, None).encode()],
            3 => vec![open],
            4 => vec![open, keepalive],
            _ => vec![open, Notification::cease(cease::ADMINISTRATIVE_RESET, Some("boo")).encode()],
        }
    }

    pub(crate) fn end_ghost(&mut self, stream: usize) {
        let parcel =
            if self.dice.chance(50) { Parcel::Fin } else { Parcel::Reset("connection reset by peer".into()) };
        self.post(stream, 1, parcel);
    }
}

impl Figures {
    /// Whether everything that a long run is about happened.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let happened = [
            self.established,
            self.dropped,
            self.collisions,
            self.restarts,
            self.kept,
            self.swept,
            self.partitions,
            self.ghosts,
            self.configured,
        ];
        happened.iter().all(|count| *count > 0)
    }
}
