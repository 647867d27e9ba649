//! A speaker against a scripted peer: messages in, messages and actions out, time as the test wants it.

mod accept;
mod collision;
mod configure;
mod dynamic;
mod graceful;
mod handover;
mod history;
mod long_lived;
mod operate;
mod paths;
mod refresh;
mod routes;
mod session;
mod slow;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bgp_wire::{
    Capability, DecodeContext, Family, KEEPALIVE, Message, Notification, Open, PeerKind, RouteRefresh,
    peek_frame,
};
use bytes::Bytes;

use super::*;
use crate::config::{PeerConfig, SpeakerSettings};
use crate::event::{Connect, EventKind, SEND_QUEUE_LEN};
use crate::session::State;
use crate::view::PeerView;

pub(super) const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 40000);
pub(super) const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 179);

/// What the speaker sent, decoded.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sent {
    Open(Open),
    Update(usize),
    Notification(Notification),
    Keepalive,
    Refresh(RouteRefresh),
}

impl Sent {
    pub(super) fn cease(subcode: u8) -> Self {
        Self::Notification(Notification::cease(subcode, None))
    }
}

/// A speaker, AS 65001 and 10.0.0.1, with a peer, AS 65002 at 192.0.2.2, that the test plays.
pub(super) struct Script {
    pub(super) speaker: Speaker,
    pub(super) now: Time,
    pub(super) accepted: ConnId,
}

impl Script {
    pub(super) fn new(change: impl FnOnce(&mut SpeakerSettings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        let now = Time::ZERO + Duration::from_secs(1000);
        let config = SpeakerConfig::new(settings).unwrap();
        Self { speaker: Speaker::new(config, 42, now), now, accepted: ConnId::FIRST_ACCEPTED }
    }

    pub(super) fn with_peer(change: impl FnOnce(&mut PeerConfig)) -> Self {
        Self::new(|settings| change(&mut settings.peers[0]))
    }

    pub(super) fn peer(&self) -> PeerView<'_> {
        self.speaker.peers().next().unwrap()
    }

    pub(super) fn id(&self) -> PeerId {
        self.peer().id
    }

    pub(super) fn state(&self) -> State {
        self.peer().state
    }

    /// The dial that the speaker asks for now. Fails if there is none.
    pub(super) fn dial(&mut self) -> Connect {
        match self.speaker.poll_action() {
            Some(Action::Connect(connect)) => connect,
            other => panic!("a dial was expected, not {other:?}"),
        }
    }

    /// Connections that the speaker closes now. Fails if it dials.
    pub(super) fn closed(&mut self) -> Vec<ConnId> {
        std::iter::from_fn(|| self.speaker.poll_action())
            .filter(|action| !matches!(action, Action::Protect { .. }))
            .map(|action| match action {
                Action::Close { conn } => conn,
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    }

    /// Forgets what the speaker wants to be done.
    pub(super) fn closed_or_dialed(&mut self) {
        while self.speaker.poll_action().is_some() {}
    }

    pub(super) fn connected(&mut self, conn: ConnId) {
        self.speaker.handle_connected(conn, Endpoints::new(LOCAL, REMOTE), self.now);
    }

    pub(super) fn accept(&mut self) -> Result<ConnId, AcceptRefusal> {
        let conn = self.accepted;
        self.accepted = conn.next();
        let local = SocketAddr::new(LOCAL.ip(), 179);
        let remote = SocketAddr::new(REMOTE.ip(), 50000);
        self.speaker.handle_accepted(conn, Endpoints::new(local, remote), None, self.now).map(|_| conn)
    }

    pub(super) fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        self.speaker.handle_bytes(conn, bytes, self.now);
    }

    /// What the speaker sends on `conn`; what it sends elsewhere is dropped. The driver writes it all at once.
    pub(super) fn sent(&mut self, conn: ConnId) -> Vec<Sent> {
        let mut stream = Vec::new();
        while let Some(transmit) = self.speaker.poll_transmit(self.now) {
            if transmit.conn == conn {
                stream.extend_from_slice(&transmit.bytes);
            }
            self.speaker.handle_writable(transmit.conn, SEND_QUEUE_LEN, self.now);
        }
        decode(&stream)
    }

    /// Brings a dialed session up.
    pub(super) fn establish(&mut self) -> ConnId {
        let conn = self.dial().conn;
        self.connected(conn);
        self.finish(conn)
    }

    /// Brings a connection that is in OpenSent up.
    pub(super) fn finish(&mut self, conn: ConnId) -> ConnId {
        self.send(conn, &encoded(&open()));
        self.send(conn, &KEEPALIVE);
        assert_eq!(self.state(), State::Established);
        self.sent(conn);
        conn
    }

    /// Lets time pass, with every wake-up on the way.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.speaker.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.speaker.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Lets time pass until something is to be dialed, and says how long it took.
    pub(super) fn until_dial(&mut self) -> (Connect, Duration) {
        let start = self.now;
        loop {
            while let Some(action) = self.speaker.poll_action() {
                if let Action::Connect(connect) = action {
                    return (connect, self.now - start);
                }
            }
            self.now = self.speaker.poll_timeout().expect("a peer without a connection waits for something");
            self.speaker.handle_timeout(self.now);
            assert!(self.now - start < Duration::from_secs(600), "no dial within ten minutes");
        }
    }

    pub(super) fn events(&mut self) -> Vec<EventKind> {
        std::iter::from_fn(|| self.speaker.poll_event()).map(|event| event.kind).collect()
    }

    pub(super) fn last_reason(&self) -> Reason {
        self.peer().last_reset.expect("a reset").reason.clone()
    }
}

pub(super) fn settings() -> SpeakerSettings {
    let mut settings = SpeakerSettings::new("test", 65001, Ipv4Addr::new(10, 0, 0, 1));
    settings.listen_port = Some(179);
    settings.peers = vec![PeerConfig::new("tor", REMOTE.ip(), Some(65002))];
    settings
}

pub(super) fn open() -> Open {
    Open {
        asn: 65002,
        hold_time: 90,
        router_id: Ipv4Addr::new(10, 0, 0, 2),
        capabilities: vec![
            Capability::MultiProtocol(Family::IPV4_UNICAST),
            Capability::RouteRefresh,
            Capability::FourOctetAs(65002),
        ],
    }
}

pub(super) fn encoded(open: &Open) -> Bytes {
    open.encode().unwrap()
}

fn decode(mut stream: &[u8]) -> Vec<Sent> {
    let mut messages = Vec::new();
    while !stream.is_empty() {
        let len = peek_frame(stream, 65535).unwrap().unwrap();
        let (frame, rest) = stream.split_at(len);
        stream = rest;
        messages.push(match Message::decode(frame, &DecodeContext::new(PeerKind::External)).unwrap() {
            Message::Open(open) => Sent::Open(open),
            Message::Update(_) => Sent::Update(frame.len()),
            Message::Notification(notification) => Sent::Notification(notification),
            Message::Keepalive => Sent::Keepalive,
            Message::RouteRefresh(refresh) => Sent::Refresh(refresh),
        });
    }
    messages
}
