#![no_main]
//! Any sequence of what can happen to a speaker with two peers: never a panic, and after every step the invariants of
//! sessions hold; now and then and at the end those of the RIB.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bgp_core::config::{OriginatedRoute, PeerConfig, SpeakerConfig, SpeakerSettings, Timers};
use bgp_core::wire::{Capability, Family, FamilySet, KEEPALIVE, Notification, Open, RouteRefresh};
use bgp_core::{Action, CloseReason, Command, ConnId, Endpoints, SEND_QUEUE_LEN, Speaker, Time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    for (position, step) in data.chunks(3).enumerate() {
        let mut octets = [0; 3];
        for (octet, value) in octets.iter_mut().zip(step) {
            *octet = *value;
        }
        world.act(octets);
        world.drain();
        if let Err(what) = world.speaker.check() {
            panic!("step {position} {octets:?}: {what}");
        }
        if position % 16 == 0 {
            world.check_rib();
        }
    }
    world.check_rib();
});

struct World {
    speaker: Speaker,
    now: Time,
    dials: Vec<ConnId>,
    conns: Vec<ConnId>,
    next_accepted: ConnId,
}

impl World {
    fn new() -> Self {
        let now = Time::ZERO;
        let config = SpeakerConfig::new(settings()).expect("these settings are sound");
        let speaker = Speaker::new(config, 7, now);
        Self { speaker, now, dials: Vec::new(), conns: Vec::new(), next_accepted: ConnId::FIRST_ACCEPTED }
    }

    fn act(&mut self, [what, which, how]: [u8; 3]) {
        let (dial, conn) = (nth(&self.dials, which), nth(&self.conns, which));
        let now = self.now;
        match (what % 14, dial, conn) {
            (0, _, _) => self.now += Duration::from_millis(u64::from(which) * u64::from(how)),
            (1, _, _) => {
                if let Some(at) = self.speaker.poll_timeout() {
                    self.now = self.now.max(at);
                }
            }
            (2, Some(conn), _) => {
                self.dials.retain(|dial| *dial != conn);
                self.conns.push(conn);
                self.speaker.handle_connected(conn, endpoints(how), now);
            }
            (3, Some(conn), _) => {
                self.dials.retain(|dial| *dial != conn);
                self.speaker.handle_connect_failed(conn, "refused", now);
            }
            (4, _, _) => {
                let conn = self.next_accepted;
                self.next_accepted = conn.next();
                if self.speaker.handle_accepted(conn, endpoints(which), None, now).is_ok() {
                    self.conns.push(conn);
                }
            }
            (5..=8, _, Some(conn)) => {
                let stream = stream(how, which);
                self.speaker.handle_bytes(conn, &stream, now);
            }
            (9, _, Some(conn)) => {
                self.conns.retain(|open| *open != conn);
                self.speaker.handle_closed(conn, CloseReason::Eof, now);
            }
            (10, _, Some(conn)) => {
                self.speaker.handle_writable(conn, SEND_QUEUE_LEN / 255 * usize::from(how), now);
            }
            (11, _, _) => self.command(which, how),
            (12, _, _) => self.configure(which, how),
            _ => {}
        }
        self.speaker.handle_timeout(self.now);
    }

    fn command(&mut self, which: u8, how: u8) {
        let Some(peer) = self.speaker.peers().nth(usize::from(which % 3)).map(|peer| peer.id) else { return };
        let family =
            [None, Some(Family::IPV4_UNICAST), Some(Family::IPV6_UNICAST)][usize::from(which >> 4) % 3];
        let command = match how % 6 {
            0 => Command::Reset { peer, text: Some("fuzz".into()) },
            1 => Command::Disable { peer, text: None },
            2 => Command::Enable { peer },
            3 => Command::SoftIn { peer, family },
            4 => Command::SoftOut { peer, family },
            _ if which == 77 => Command::Stop { text: None },
            _ => return,
        };
        let _ = self.speaker.handle_command(command, self.now);
    }

    fn configure(&mut self, which: u8, how: u8) {
        let mut settings = self.speaker.config().clone().into_settings();
        let count = settings.peers.len();
        match (how % 12, settings.peers.get_mut(usize::from(which) % count.max(1))) {
            (0, _) => settings = self::settings(),
            (1, Some(peer)) => peer.shutdown = !peer.shutdown,
            (2, Some(peer)) => peer.passive = !peer.passive,
            (3, Some(peer)) => peer.timers.hold = [0, 30, 90][usize::from(which) % 3],
            (4, Some(peer)) => peer.remote_asn = [None, Some(65002)][usize::from(which) % 2],
            (5, Some(peer)) => peer.families = FamilySet::IPV4_UNICAST,
            (6, Some(peer)) => peer.max_prefixes = [None, Some(1.into())][usize::from(which) % 2],
            (7, Some(_)) => drop(settings.peers.remove(usize::from(which) % count)),
            (8, _) => settings.router_id = Ipv4Addr::new(10, 0, 0, which.max(1)),
            (9, _) => settings.local_asn = 65001 + u32::from(which % 2),
            (10, _) => settings.routes = routes(which),
            (_, Some(peer)) => peer.local_address = [None, Some(local(which))][usize::from(which) % 2],
            _ => {}
        }
        if let Ok(config) = SpeakerConfig::new(settings) {
            self.speaker.handle_config(config, self.now);
        }
    }

    fn drain(&mut self) {
        let mut handed = 0;
        while let Some(transmit) = self.speaker.poll_transmit(self.now) {
            assert!(!transmit.bytes.is_empty());
            handed += transmit.bytes.len();
            assert!(handed < 64 * SEND_QUEUE_LEN, "what is handed out is bounded");
        }
        while let Some(action) = self.speaker.poll_action() {
            match action {
                Action::Connect(connect) => self.dials.push(connect.conn),
                Action::Close { conn } => {
                    self.dials.retain(|dial| *dial != conn);
                    self.conns.retain(|open| *open != conn);
                }
                Action::Protect { .. } => {}
            }
        }
        while self.speaker.poll_event().is_some() {}
        // A peer may dial once at a time, and an abandoned dial is closed.
        assert!(self.dials.len() <= 2 && self.conns.len() <= 4, "{:?} {:?}", self.dials, self.conns);
    }

    fn check_rib(&self) {
        if let Err(what) = self.speaker.rib().check() {
            panic!("{what}");
        }
    }
}

/// A few well-formed messages, some of them damaged.
fn stream(how: u8, which: u8) -> Vec<u8> {
    let mut open = Open {
        asn: 65002,
        hold_time: 90,
        router_id: Ipv4Addr::new(10, 0, 0, (which >> 4) + 1),
        capabilities: vec![
            Capability::MultiProtocol(Family::IPV4_UNICAST),
            Capability::RouteRefresh,
            Capability::FourOctetAs(65002),
        ],
    };
    // Origin IGP, AS_PATH 65002, next hop 192.0.2.2, one prefix.
    let attributes = [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xea, 0x40, 3, 4, 192, 0, 2, 2];
    let update = framed(2, &[&[0, 0, 0, 20][..], &attributes, &[24, 11, 0, which]].concat());
    let mut stream = match how % 10 {
        0 | 1 => open.encode().map(|bytes| bytes.to_vec()).unwrap_or_default(),
        2 | 3 => KEEPALIVE.to_vec(),
        4 => update,
        5 => framed(2, &[0, 4, 24, 11, 0, which, 0, 0]),
        6 => framed(2, &[0, 0, 0, 0]),
        7 => RouteRefresh::request(Family { afi: u16::from(which % 3), safi: 1 }).encode().to_vec(),
        8 => Notification::new(6, which % 12).encode().to_vec(),
        _ => {
            open.hold_time = [0, 3, 90][usize::from(which) % 3];
            open.asn = 65001 + u32::from(which % 4);
            open.capabilities.pop();
            open.encode().map(|bytes| bytes.to_vec()).unwrap_or_default()
        }
    };
    match how {
        0..200 => {}
        200..230 => stream.truncate(usize::from(which) % stream.len().max(1)),
        _ => {
            let position = usize::from(which) % stream.len().max(1);
            if let Some(octet) = stream.get_mut(position) {
                *octet = how;
            }
        }
    }
    stream
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).unwrap_or(u16::MAX);
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

fn settings() -> SpeakerSettings {
    let mut settings = SpeakerSettings::new("fuzz", 65001, Ipv4Addr::new(10, 0, 0, 8));
    settings.listen_port = Some(179);
    settings.routes = routes(3);
    let timers = Timers { connect_retry: 30, hold: 90, keepalive: 30 };
    settings.peers = [2, 3]
        .map(|last| PeerConfig {
            timers,
            ..PeerConfig::new(format!("peer{last}"), remote(last), Some(65002))
        })
        .to_vec();
    settings
}

fn routes(count: u8) -> Vec<OriginatedRoute> {
    let prefix = |number: u8| format!("12.0.{number}.0/24").parse().ok();
    (0..count % 8).filter_map(prefix).map(OriginatedRoute::new).collect()
}

fn remote(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn local(which: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100 + which % 2))
}

fn endpoints(which: u8) -> Endpoints {
    Endpoints::new(SocketAddr::new(local(which >> 2), 179), SocketAddr::new(remote(2 + which % 3), 179))
}

fn nth(conns: &[ConnId], which: u8) -> Option<ConnId> {
    conns.get(usize::from(which) % conns.len().max(1)).copied()
}
