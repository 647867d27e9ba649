//! The rules that an [`Intent`] must keep beyond its types: ranges, uniqueness, fields that need each other.
//!
//! Invariant: the first broken rule is reported with the exact path of its field, written as in the YAML or JSON that
//! the author sees, and with what to write instead.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Actions, AddPath, Family, GracefulRestart, Instance, Intent, LimitAction, MaxPrefixes, PathsSent, Peer,
    Policy, PrefixMatch, Route, Timers, Verdict,
};

/// The first rule an intent breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidIntent {
    /// The field to blame: `instances[0].peers[2].timers.holdSeconds`.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

impl fmt::Display for InvalidIntent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for InvalidIntent {}

/// What can be wrong with a field of an intent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A number is outside its range.
    #[error("{value} is out of range; write {allowed}")]
    OutOfRange {
        /// What was written.
        value: u64,
        /// What may be written.
        allowed: String,
    },
    /// A text that must say something is empty.
    #[error("is empty; {advice}")]
    Empty {
        /// What to write.
        advice: &'static str,
    },
    /// A text is longer than its consumer takes.
    #[error("is {length} bytes long; at most {most} are possible")]
    TooLong {
        /// Its length.
        length: usize,
        /// The limit.
        most: usize,
    },
    /// A text has characters that it may not have.
    #[error("{value:?} is not {expected}")]
    Malformed {
        /// What was written.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// A value that must be unique appears twice.
    #[error("{value} is also at {first}; {advice}")]
    Duplicate {
        /// The value.
        value: String,
        /// Where it stands first.
        first: String,
        /// What to do.
        advice: &'static str,
    },
    /// An ASN that RFC 7607 or RFC 6793 reserves.
    #[error("{asn} is reserved ({why})")]
    ReservedAsn {
        /// The number.
        asn: u32,
        /// By what.
        why: &'static str,
    },
    /// An address that cannot be used here.
    #[error("{address} cannot be used here: {why}")]
    UnusableAddress {
        /// The address.
        address: IpAddr,
        /// Why.
        why: &'static str,
    },
    /// An address of the wrong family.
    #[error("{address} is of another family than {other}")]
    FamilyMismatch {
        /// The address.
        address: IpAddr,
        /// What it must fit.
        other: String,
    },
    /// A prefix with bits set behind its length.
    #[error("{prefix} has host bits set; write {network}")]
    HostBits {
        /// As written.
        prefix: IpNet,
        /// As it should be.
        network: IpNet,
    },
    /// A field needs another one that is absent.
    #[error("needs {other}: {why}")]
    Needs {
        /// The absent field.
        other: &'static str,
        /// Why it is needed.
        why: &'static str,
    },
    /// A field contradicts another one.
    #[error("contradicts {other}: {why}")]
    Contradicts {
        /// The other field.
        other: &'static str,
        /// Why both cannot be.
        why: String,
    },
}

mod templates;

impl Intent {
    /// Checks every rule; the first one broken is the error.
    ///
    /// # Errors
    /// [`InvalidIntent`] with the field's path and what to write instead.
    pub fn validate(&self) -> Result<(), InvalidIntent> {
        let root = Path::ROOT;
        if let Some(seconds) = self.hold_seconds {
            root.key("holdSeconds").within(seconds.into(), 1, u32::MAX.into())?;
        }
        let mut names = Seen::new("give each instance its own name");
        let mut ports = Vec::new();
        for (index, instance) in self.instances.iter().enumerate() {
            let at = root.key("instances").index(index);
            names.add(instance.name.as_str(), &at.key("name"))?;
            instance.check(&at)?;
            check_listener(instance, &at, &mut ports)?;
        }
        Ok(())
    }
}

impl Instance {
    fn check(&self, at: &Path) -> Result<(), InvalidIntent> {
        at.key("name").name(&self.name)?;
        at.key("localASN").asn(self.local_asn)?;
        if self.local_asn == 0 {
            return at.key("localASN").fail(Problem::ReservedAsn { asn: 0, why: "RFC 7607" });
        }
        if self.router_id.is_unspecified() {
            let why = "a BGP Identifier is any IPv4 address but 0.0.0.0 (RFC 6286)";
            let address = IpAddr::V4(self.router_id);
            return at.key("routerID").fail(Problem::UnusableAddress { address, why });
        }
        if let Some(paths) = self.maximum_paths {
            at.key("maximumPaths").within(paths.into(), 1, 128)?;
        }
        if let Some(seconds) = self.graceful_restart.and_then(|restart| restart.selection_deferral_seconds) {
            let at = at.key("gracefulRestart").key("selectionDeferralSeconds");
            at.within(seconds.into(), 1, 3600)?;
        }
        let mut names = Seen::new("give each peer of an instance its own name");
        let mut addresses = Seen::new("one instance has one session per neighbour address");
        for (index, peer) in self.peers.iter().enumerate() {
            let at = at.key("peers").index(index);
            names.add(peer.name.as_str(), &at.key("name"))?;
            let address = match &peer.interface {
                Some(interface) if needs_scope(peer.address) => format!("{}%{interface}", peer.address),
                _ => peer.address.to_string(),
            };
            addresses.add(address, &at.key("address"))?;
            peer.check(self, &at)?;
        }
        self.check_templates(at)?;
        let mut prefixes = Seen::new("an instance originates a prefix once");
        for (index, route) in self.routes.iter().enumerate() {
            let at = at.key("routes").index(index);
            route.check(&at)?;
            prefixes.add(route.prefix, &at.key("prefix"))?;
        }
        Ok(())
    }
}

/// Two instances of one process cannot both listen on the same port of the same address.
fn check_listener(
    instance: &Instance,
    at: &Path,
    ports: &mut Vec<(u16, Vec<IpAddr>, Path)>,
) -> Result<(), InvalidIntent> {
    let Some(port) = instance.listen_port else {
        if instance.listen_addresses.is_empty() {
            return Ok(());
        }
        let why = "addresses alone do not say where to listen";
        return at.key("listenAddresses").fail(Problem::Needs { other: "listenPort", why });
    };
    let here = at.key("listenPort");
    here.within(port.into(), 1, u16::MAX.into())?;
    let mut addresses = Seen::new("list each address once");
    for (index, address) in instance.listen_addresses.iter().enumerate() {
        let at = at.key("listenAddresses").index(index);
        at.unicast(*address)?;
        addresses.add(*address, &at)?;
    }
    for (other_port, other_addresses, first) in ports.iter() {
        let overlap = instance.listen_addresses.is_empty()
            || other_addresses.is_empty()
            || instance.listen_addresses.iter().any(|address| other_addresses.contains(address));
        if *other_port == port && overlap {
            let advice = "give each instance its own listenPort, or disjoint listenAddresses";
            return here.fail(Problem::Duplicate {
                value: port.to_string(),
                first: first.to_string(),
                advice,
            });
        }
    }
    ports.push((port, instance.listen_addresses.clone(), here));
    Ok(())
}

impl MaxPrefixes {
    fn check(&self, at: &Path) -> Result<(), InvalidIntent> {
        let rules = match self {
            Self::Limit(limit) => return at.within((*limit).into(), 1, u32::MAX.into()),
            Self::Rules(rules) => rules,
        };
        at.key("limit").within(rules.limit.into(), 1, u32::MAX.into())?;
        if let Some(percent) = rules.warning_percent {
            at.key("warningPercent").within(percent.into(), 1, 100)?;
        }
        if let Some(seconds) = rules.restart_seconds {
            at.key("restartSeconds").within(seconds.into(), 1, 86_400)?;
            if rules.action != Some(LimitAction::Restart) {
                let why = "only the action `restart` opens the session again";
                return at.key("restartSeconds").fail(Problem::Needs { other: "action: restart", why });
            }
        }
        Ok(())
    }
}

impl Peer {
    fn check_role(&self, instance: &Instance, at: &Path) -> Result<(), InvalidIntent> {
        if self.strict_role && self.role.is_none() {
            let why = "without a role of ours the neighbour's does not matter";
            return at.key("strictRole").fail(Problem::Needs { other: "role", why });
        }
        if self.role.is_some() && self.peer_asn == Some(instance.local_asn) {
            let why = "roles are between different ASes (RFC 9234)".to_owned();
            return at.key("role").fail(Problem::Contradicts { other: "peerASN", why });
        }
        Ok(())
    }
}

impl GracefulRestart {
    fn check(&self, at: &Path) -> Result<(), InvalidIntent> {
        at.key("restartSeconds").within(self.restart_seconds.into(), 1, 4095)?;
        if let Some(seconds) = self.stale_seconds {
            at.key("staleSeconds").within(seconds.into(), 1, 86_400)?;
        }
        if let Some(seconds) = self.long_lived_seconds {
            at.key("longLivedSeconds").within(seconds.into(), 1, 0x00ff_ffff)?;
        }
        Ok(())
    }
}

impl Peer {
    fn check(&self, instance: &Instance, at: &Path) -> Result<(), InvalidIntent> {
        at.key("name").name(&self.name)?;
        at.key("address").unicast(self.address)?;
        if needs_scope(self.address) && self.interface.is_none() {
            let why = "a link-local address means something on one link only";
            return at.key("address").fail(Problem::Needs { other: "interface", why });
        }
        if let Some(local) = self.local_address.filter(|local| local.is_ipv4() != self.address.is_ipv4()) {
            let other = format!("the peer's {}", self.address);
            return at.key("localAddress").fail(Problem::FamilyMismatch { address: local, other });
        }
        self.check_parameters(instance, at)
    }

    /// All but name and address.
    fn check_parameters(&self, instance: &Instance, at: &Path) -> Result<(), InvalidIntent> {
        at.key("peerASN").asn(self.peer_asn.unwrap_or_default())?;
        at.key("port").within(self.port.into(), 1, u16::MAX.into())?;
        if let Some(local) = self.local_address {
            let here = at.key("localAddress");
            here.unicast(local)?;
        }
        if let Some(interface) = &self.interface {
            at.key("interface").interface(interface)?;
        }
        if self.passive && instance.listen_port.is_none() {
            let why = "a passive peer can only be accepted, and this instance does not listen";
            return at.key("passive").fail(Problem::Needs { other: "listenPort", why });
        }
        if let Some(text) = &self.description {
            at.key("description").text(text, 255)?;
        }
        self.timers.check(&at.key("timers"))?;
        if let Some(hops) = self.ebgp_multihop {
            at.key("ebgpMultihop").within(hops.into(), 1, 255)?;
        }
        if let Some(password) = &self.password {
            at.key("password").password(password.expose())?;
        }
        self.check_security(at)?;
        if let Some(restart) = &self.graceful_restart {
            restart.check(&at.key("gracefulRestart"))?;
        }
        let mut families = Seen::new("list each family once");
        for (index, family) in self.families.iter().enumerate() {
            families.add(family.name(), &at.key("families").index(index))?;
        }
        if let Some(add_path) = &self.add_path {
            add_path.check(&self.families, &at.key("addPath"))?;
        }
        if let Some(limit) = self.max_prefixes {
            limit.check(&at.key("maxPrefixes"))?;
        }
        self.check_role(instance, at)?;
        if self.route_reflector_client
            && self.peer_asn.is_some_and(|asn| asn != 0 && asn != instance.local_asn)
        {
            let why = "routes are reflected between internal peers only (RFC 4456)".to_owned();
            return at.key("routeReflectorClient").fail(Problem::Contradicts { other: "peerASN", why });
        }
        for (key, policy) in [("import", &self.import), ("export", &self.export)] {
            if let Some(policy) = policy {
                policy.check(&at.key(key))?;
            }
        }
        Ok(())
    }
}

impl AddPath {
    fn check(&self, negotiated: &[Family], at: &Path) -> Result<(), InvalidIntent> {
        if let Some(PathsSent::Best(number)) = self.send {
            at.key("send").within(number.into(), 1, 255)?;
        }
        let mut families = Seen::new("list each family once");
        for (index, family) in self.families.iter().enumerate() {
            let here = at.key("families").index(index);
            families.add(family.name(), &here)?;
            if !negotiated.is_empty() && !negotiated.contains(family) {
                let why = format!("{family} is not among the peer's families");
                return here.fail(Problem::Contradicts { other: "families", why });
            }
        }
        Ok(())
    }
}

impl Peer {
    fn check_security(&self, at: &Path) -> Result<(), InvalidIntent> {
        if let Some(hops) = self.ttl_security_hops {
            let here = at.key("ttlSecurityHops");
            here.within(hops.into(), 1, 255)?;
            if self.ebgp_multihop.is_some() {
                let why = "TTL security sends and expects a TTL of 255 (RFC 5082); the number of hops is its own value";
                return here.fail(Problem::Contradicts { other: "ebgpMultihop", why: why.to_owned() });
            }
        }
        let Some(tcp_ao) = &self.tcp_ao else { return Ok(()) };
        let here = at.key("tcpAo");
        if self.password.is_some() {
            let why = "a connection is signed in one way (RFC 5925 §3.1)".to_owned();
            return here.fail(Problem::Contradicts { other: "password", why });
        }
        let here = here.key("keys");
        if tcp_ao.keys.is_empty() {
            return here.fail(Problem::Empty { advice: "give at least one key, or leave tcpAo out" });
        }
        let mut sent = Seen::new("every key needs its own sendId");
        let mut received = Seen::new("every key needs its own recvId");
        for (index, key) in tcp_ao.keys.iter().enumerate() {
            let here = here.index(index);
            sent.add(key.send_id, &here.key("sendId"))?;
            received.add(key.recv_id, &here.key("recvId"))?;
            here.key("secret").password(key.secret.expose())?;
        }
        Ok(())
    }
}

impl Timers {
    fn check(&self, at: &Path) -> Result<(), InvalidIntent> {
        at.key("connectRetrySeconds").within(self.connect_retry_seconds.into(), 1, 2_147_483_647)?;
        if (1..3).contains(&self.hold_seconds) {
            let allowed = "0 or 3 to 65535 (RFC 4271 §4.2)".to_owned();
            let value = self.hold_seconds.into();
            return at.key("holdSeconds").fail(Problem::OutOfRange { value, allowed });
        }
        if self.hold_seconds == 0 {
            return Ok(());
        }
        let keepalive = at.key("keepaliveSeconds");
        if self.keepalive_seconds == 0 {
            let why = format!("without keepalives a hold time of {} s always expires", self.hold_seconds);
            return keepalive.fail(Problem::Contradicts { other: "holdSeconds", why });
        }
        if self.keepalive_seconds > self.hold_seconds {
            let (keep, hold) = (self.keepalive_seconds, self.hold_seconds);
            let why =
                format!("{keep} is more than the hold time of {hold} s; write {} or less", (hold / 3).max(1));
            return keepalive.fail(Problem::Contradicts { other: "holdSeconds", why });
        }
        Ok(())
    }
}

impl Route {
    fn check(&self, at: &Path) -> Result<(), InvalidIntent> {
        at.key("prefix").network(self.prefix)?;
        if let Some(next_hop) = self.next_hop {
            let here = at.key("nextHop");
            here.unicast(next_hop)?;
            // RFC 8950 carries IPv4 prefixes over IPv6 next hops; the reverse does not exist.
            if next_hop.is_ipv4() && matches!(self.prefix, IpNet::V6(_)) {
                let other = format!("the prefix {}", self.prefix);
                return here.fail(Problem::FamilyMismatch { address: next_hop, other });
            }
        }
        check_communities(&self.communities, &at.key("communities"))?;
        check_large_communities(&self.large_communities, &at.key("largeCommunities"))
    }
}

impl Policy {
    fn check(&self, at: &Path) -> Result<(), InvalidIntent> {
        at.key("name").name(&self.name)?;
        let mut names = Seen::new("give each statement of a policy its own name");
        for (index, statement) in self.statements.iter().enumerate() {
            let at = at.key("statements").index(index);
            let name = at.key("name");
            name.name(&statement.name)?;
            names.add(statement.name.as_str(), &name)?;
            for (index, prefix) in statement.prefixes.iter().enumerate() {
                prefix.check(&at.key("prefixes").index(index))?;
            }
            check_communities(&statement.any_community, &at.key("anyCommunity"))?;
            statement.set.check(&at.key("set"))?;
            if statement.action == Verdict::Reject && !statement.set.is_empty() {
                let why = "a rejected route is not changed".to_owned();
                return at.key("set").fail(Problem::Contradicts { other: "action", why });
            }
        }
        Ok(())
    }
}

impl PrefixMatch {
    fn check(&self, at: &Path) -> Result<(), InvalidIntent> {
        at.key("prefix").network(self.prefix)?;
        let longest = u64::from(self.prefix.max_prefix_len());
        let shortest = u64::from(self.prefix.prefix_len());
        let low = self.min_length.map_or(shortest, u64::from);
        at.key("minLength").within(low, shortest, longest)?;
        at.key("maxLength").within(self.max_length.map_or(low, u64::from), low, longest)
    }
}

impl Actions {
    fn check(&self, at: &Path) -> Result<(), InvalidIntent> {
        check_communities(&self.add_communities, &at.key("addCommunities"))?;
        check_large_communities(&self.add_large_communities, &at.key("addLargeCommunities"))?;
        match self.prepend {
            Some(times) => at.key("prepend").within(times.into(), 1, 16),
            None => Ok(()),
        }
    }
}

fn check_communities(communities: &[String], at: &Path) -> Result<(), InvalidIntent> {
    const EXPECTED: &str = "a community; write ASN:VALUE (each 0 to 65535), a 32-bit number or a well-known name \
                            such as no-export";
    each(communities, at, EXPECTED, |text| text.parse::<bgp_wire::Community>().is_ok())
}

fn check_large_communities(communities: &[String], at: &Path) -> Result<(), InvalidIntent> {
    const EXPECTED: &str = "a large community; write GLOBAL:LOCAL1:LOCAL2, each 0 to 4294967295";
    each(communities, at, EXPECTED, |text| text.parse::<bgp_wire::LargeCommunity>().is_ok())
}

fn each(
    texts: &[String],
    at: &Path,
    expected: &'static str,
    valid: impl Fn(&str) -> bool,
) -> Result<(), InvalidIntent> {
    match texts.iter().position(|text| !valid(text)) {
        Some(index) => at.index(index).fail(Problem::Malformed { value: texts[index].clone(), expected }),
        None => Ok(()),
    }
}

fn needs_scope(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Values of one field that must differ, with the place where each stood first: the indexes in its path. Its names are the
/// same for all of them.
struct Seen<V> {
    first: HashMap<V, Indexes>,
    advice: &'static str,
}

impl<V: fmt::Display + Eq + Hash> Seen<V> {
    fn new(advice: &'static str) -> Self {
        Self { first: HashMap::new(), advice }
    }

    fn add(&mut self, value: V, at: &Path) -> Result<(), InvalidIntent> {
        match self.first.entry(value) {
            Entry::Vacant(place) => {
                place.insert(at.indexes());
                Ok(())
            }
            Entry::Occupied(first) => at.fail(Problem::Duplicate {
                value: first.key().to_string(),
                first: at.with_indexes(*first.get()).to_string(),
                advice: self.advice,
            }),
        }
    }
}

/// Where in the intent we are. Written out, in the author's spelling, only when something is wrong there: an intent of
/// ten thousand services has a few hundred thousand places.
#[derive(Clone, Copy)]
struct Path {
    steps: [Step; DEEPEST],
    depth: usize,
}

#[derive(Clone, Copy)]
enum Step {
    Key(&'static str),
    Index(usize),
}

/// The indexes of a path, from the left.
type Indexes = [usize; 4];

/// `instances[0].peers[0].export.statements[0].set.addCommunities[0]` has ten.
const DEEPEST: usize = 10;

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.steps.iter().take(self.depth).enumerate() {
            match step {
                Step::Key(name) if position == 0 => f.write_str(name)?,
                Step::Key(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Path {
    const ROOT: Self = Self { steps: [Step::Index(0); DEEPEST], depth: 0 };

    fn key(&self, name: &'static str) -> Self {
        self.then(Step::Key(name))
    }

    fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(mut self, step: Step) -> Self {
        debug_assert!(self.depth < DEEPEST, "below {self}");
        if let Some(place) = self.steps.get_mut(self.depth) {
            *place = step;
            self.depth += 1;
        }
        self
    }

    fn indexes(&self) -> Indexes {
        let mut indexes = Indexes::default();
        let ours = self.steps.iter().take(self.depth).filter_map(|step| match step {
            Step::Index(index) => Some(*index),
            Step::Key(_) => None,
        });
        indexes.iter_mut().zip(ours).for_each(|(place, index)| *place = index);
        indexes
    }

    fn with_indexes(mut self, indexes: Indexes) -> Self {
        let ours = self.steps.iter_mut().filter(|step| matches!(step, Step::Index(_)));
        ours.zip(indexes).for_each(|(step, index)| *step = Step::Index(index));
        self
    }

    fn fail(&self, problem: Problem) -> Result<(), InvalidIntent> {
        Err(InvalidIntent { field: self.to_string(), problem })
    }

    fn within(&self, value: u64, low: u64, high: u64) -> Result<(), InvalidIntent> {
        if (low..=high).contains(&value) {
            return Ok(());
        }
        let allowed = if low == high { low.to_string() } else { format!("{low} to {high}") };
        self.fail(Problem::OutOfRange { value, allowed })
    }

    /// Names become labels of metrics, words of commands and segments of paths.
    fn name(&self, name: &str) -> Result<(), InvalidIntent> {
        if name.is_empty() {
            return self.fail(Problem::Empty { advice: "give it a name" });
        }
        if name.contains(char::is_whitespace) {
            let expected = "a name: it has blanks";
            return self.fail(Problem::Malformed { value: name.to_owned(), expected });
        }
        self.text(name, 255)
    }

    fn text(&self, text: &str, most: usize) -> Result<(), InvalidIntent> {
        if text.len() > most {
            return self.fail(Problem::TooLong { length: text.len(), most });
        }
        if text.contains(char::is_control) {
            let expected = "one line of text: it has control characters";
            return self.fail(Problem::Malformed { value: text.to_owned(), expected });
        }
        Ok(())
    }

    fn asn(&self, asn: u32) -> Result<(), InvalidIntent> {
        match asn {
            23456 => self.fail(Problem::ReservedAsn { asn, why: "AS_TRANS, RFC 6793" }),
            _ => Ok(()),
        }
    }

    fn unicast(&self, address: IpAddr) -> Result<(), InvalidIntent> {
        let why = if address.is_unspecified() {
            "it means no address"
        } else if address.is_multicast() {
            "it is a multicast address"
        } else if matches!(address, IpAddr::V4(v4) if v4.is_broadcast()) {
            "it is the broadcast address"
        } else if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            "it is an IPv4-mapped address; write the IPv4 address"
        } else {
            return Ok(());
        };
        self.fail(Problem::UnusableAddress { address, why })
    }

    fn network(&self, prefix: IpNet) -> Result<(), InvalidIntent> {
        let network = prefix.trunc();
        if network == prefix { Ok(()) } else { self.fail(Problem::HostBits { prefix, network }) }
    }

    /// Linux: IFNAMSIZ 16 with the closing zero, no `/` and no blanks.
    fn interface(&self, name: &str) -> Result<(), InvalidIntent> {
        if name.is_empty() {
            return self.fail(Problem::Empty { advice: "name an interface, or leave it out" });
        }
        if name.len() > 15 || name.contains('/') || name.contains(char::is_whitespace) {
            let expected = "an interface name (at most 15 characters, no blanks, no slash)";
            return self.fail(Problem::Malformed { value: name.to_owned(), expected });
        }
        Ok(())
    }

    /// The kernel's TCP_MD5SIG_MAXKEYLEN is 80. The password itself appears in no error.
    fn password(&self, password: &str) -> Result<(), InvalidIntent> {
        if password.is_empty() {
            return self.fail(Problem::Empty { advice: "write a password, or leave it out" });
        }
        if password.len() > 80 {
            return self.fail(Problem::TooLong { length: password.len(), most: 80 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
