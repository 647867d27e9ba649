//! What several show commands say about a peer in the same words.

use std::borrow::Cow;
use std::time::Duration;

use bgp_core::{Held, State};
use bgp_wire::{Capability, Family};
use rutter_api::show::summary::{HeldBy, IdType, PeerState};
use rutter_api::show::text;

use crate::clock::Moment;
use crate::instance::snapshot::PeerSnapshot;
use crate::sockopt::is_link_local;

impl PeerSnapshot {
    /// The name FRR lists it under: the interface for one that is known by nothing else, else its address.
    #[must_use]
    pub fn shown_as(&self) -> String {
        match &self.config.interface {
            Some(interface) if is_link_local(self.config.address) => interface.to_string(),
            _ => self.config.address.to_string(),
        }
    }

    /// What kind of name that is.
    #[must_use]
    pub fn id_type(&self) -> IdType {
        match (&self.config.interface, self.config.address.is_ipv4()) {
            (Some(_), false) if is_link_local(self.config.address) => IdType::Interface,
            (_, true) => IdType::Ipv4,
            (_, false) => IdType::Ipv6,
        }
    }

    /// What the peer calls itself.
    #[must_use]
    pub fn hostname(&self) -> Option<Cow<'_, str>> {
        self.received(|capability| match capability {
            Capability::Fqdn { host, .. } if !host.is_empty() => Some(printable(host)),
            _ => None,
        })
    }

    /// What the peer runs.
    #[must_use]
    pub fn software_version(&self) -> Option<Cow<'_, str>> {
        self.received(|capability| match capability {
            Capability::SoftwareVersion(version) => Some(printable(version)),
            _ => None,
        })
    }

    /// Something that the peer offered in its last OPEN.
    pub fn received<'a, T>(&'a self, pick: impl Fn(&'a Capability) -> Option<T>) -> Option<T> {
        self.negotiated.as_ref()?.capabilities_received.iter().find_map(pick)
    }

    /// State, or what holds it in Idle.
    #[must_use]
    pub fn shown_state(&self) -> PeerState {
        match (self.state, self.held) {
            (State::Idle, Some(Held::AdminDown | Held::Stopped)) => PeerState::IdleAdmin,
            (State::Idle, Some(Held::PrefixLimit { .. })) => PeerState::IdlePfxCt,
            (state, _) => plain_state(state),
        }
    }

    /// What holds it in Idle.
    #[must_use]
    pub fn held_by(&self) -> HeldBy {
        match self.held {
            Some(Held::AdminDown | Held::Stopped) => HeldBy::Admin,
            Some(Held::PrefixLimit { .. }) => HeldBy::PfxCt,
            Some(Held::IdleHold(_)) | None => HeldBy::Nothing,
        }
    }

    /// How long the session has been up, or down after it was up. `None`: it never was.
    #[must_use]
    pub fn up_or_down_since(&self) -> Option<bgp_core::Time> {
        self.established_at.or_else(|| {
            (self.dropped_count > 0).then(|| self.last_reset.as_ref().map_or(self.since, |reset| reset.at))
        })
    }

    /// The same as FRR prints it.
    #[must_use]
    pub fn shown_uptime(&self, now: &Moment) -> String {
        self.up_or_down_since()
            .map_or_else(|| "never".to_owned(), |since| text::uptime(now.age(since).as_secs()))
    }

    /// Whether the family is on the session, or would be.
    #[must_use]
    pub fn carries(&self, family: Family) -> bool {
        self.config.families.contains(family)
    }

    /// Whether the session is up and carries the family.
    #[must_use]
    pub fn exchanges(&self, family: Family) -> bool {
        self.is_established()
            && self.negotiated.as_ref().is_some_and(|negotiated| negotiated.families.contains(family))
    }

    /// Messages that wait, at least: the octets that wait are counted exactly, the messages they make up are not.
    #[must_use]
    pub fn messages_queued(&self) -> u64 {
        self.queued_out.div_ceil(bgp_wire::MAX_LEN) as u64
    }
}

/// State, whatever holds it.
#[must_use]
pub fn plain_state(state: State) -> PeerState {
    match state {
        State::Idle => PeerState::Idle,
        State::Connect => PeerState::Connect,
        State::Active => PeerState::Active,
        State::OpenSent => PeerState::OpenSent,
        State::OpenConfirm => PeerState::OpenConfirm,
        State::Established => PeerState::Established,
    }
}

/// A peer's own words, fit for a terminal: control characters could move its cursor or worse.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    // Besides control characters, those that change the direction of what is printed around them.
    let unfit = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(unfit) { Cow::Owned(text.replace(unfit, "?")) } else { Cow::Borrowed(text) }
}

/// Milliseconds, as FRR's keys want them.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// FRR's key of a family.
#[must_use]
pub fn family_key(family: Family) -> &'static str {
    if family == Family::IPV6_UNICAST { "ipv6Unicast" } else { "ipv4Unicast" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_words_cannot_drive_a_terminal() {
        assert_eq!(printable("tor-1"), "tor-1");
        assert_eq!(printable("tor\u{202e}1"), "tor?1");
        assert_eq!(printable("\u{1b}[2Jtor\r\n\u{9b}1m"), "?[2Jtor???1m");
    }
}
