//! The table of show commands. One row is one command: its words on the command line, its HTTP path, its help.
//!
//! bgpd serves every row, `rutterctl` understands every row, the OpenAPI document describes every row; a test on either
//! side walks the table. To add a command, add a row here, a response type beside this file, and what fills it in bgpd.
//!
//! The words follow vtysh: literals in lower case may be abbreviated as long as they stay unambiguous, values are in
//! capitals, `[a]` may be left out, `<a|b>` is a choice.
//!
//! Invariant: no two rows understand the same words.

mod grammar;

use std::fmt;

use super::prefix::{Query, parse_query};
use grammar::{Sequence, Token, expand};

/// Which command it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Show {
    /// `show bgp summary`: [`super::summary::Summary`].
    Summary,
    /// The same of one family: [`super::summary::FamilySummary`].
    FamilySummary,
    /// The table: [`super::table::Table`].
    Table,
    /// One prefix: [`super::prefix::PrefixLookup`].
    Prefix,
    /// All neighbours: [`super::neighbor::Neighbors`].
    Neighbors,
    /// One neighbour: [`super::neighbor::Neighbors`] with one entry.
    Neighbor,
    /// What happened to a session: [`super::history::NeighborHistories`] with one entry.
    NeighborHistory,
    /// What a neighbour was sent: [`super::adjacency::AdvertisedRoutes`].
    AdvertisedRoutes,
    /// What a neighbour sent: [`super::adjacency::ReceivedRoutes`].
    ReceivedRoutes,
    /// What of it is used: [`super::table::Table`].
    NeighborRoutes,
    /// Cilium's peers: a list of [`crate::cilium::peers::Peer`].
    CiliumPeers,
    /// Cilium's routes: a list of [`crate::cilium::routes::Route`].
    CiliumRoutes,
    /// Cilium's policies: a list of [`crate::cilium::policies::RoutePolicy`].
    CiliumPolicies,
}

/// A row.
#[derive(Debug)]
pub struct Command {
    /// Which command it is.
    pub show: Show,
    /// Its words.
    pub words: &'static [&'static str],
    /// Its HTTP path. Values in braces come from the words; all others go into the query.
    pub path: &'static str,
    /// What it shows, in one line: help on the command line and summary in the OpenAPI document.
    pub help: &'static str,
}

/// All commands.
pub const COMMANDS: &[Command] = &[
    Command {
        show: Show::Summary,
        words: &["show bgp summary [json]"],
        path: "/v1/show/bgp/summary",
        help: "One line per neighbour and family: state, time, prefixes received and sent",
    },
    Command {
        show: Show::FamilySummary,
        words: &["show bgp <ipv4|ipv6> [unicast] summary [json]", "show ip bgp summary [json]"],
        path: "/v1/show/bgp/{family}/summary",
        help: "The same for one family",
    },
    Command {
        show: Show::Table,
        words: &["show [ip] bgp [json]", "show bgp <ipv4|ipv6> [unicast] [json]"],
        path: "/v1/show/bgp/{family}",
        help: "The table: every path of every prefix, the best marked (IPv4 unless said)",
    },
    Command {
        show: Show::Prefix,
        words: &["show [ip] bgp PREFIX [json]", "show bgp <ipv4|ipv6> [unicast] PREFIX [json]"],
        path: "/v1/show/bgp/{family}/{prefix}",
        help: "One prefix, or the longest that covers an address: all attributes of all paths, and who was told",
    },
    Command {
        show: Show::Neighbors,
        words: &["show [ip] bgp neighbors [json]", "show bgp <ipv4|ipv6> [unicast] neighbors [json]"],
        path: "/v1/show/bgp/neighbors",
        help: "Everything about every session",
    },
    Command {
        show: Show::Neighbor,
        words: &[
            "show [ip] bgp neighbors NEIGHBOR [json]",
            "show bgp <ipv4|ipv6> [unicast] neighbors NEIGHBOR [json]",
        ],
        path: "/v1/show/bgp/neighbors/{peer}",
        help: "Everything about one session: timers, capabilities, messages, last reset, TCP connection",
    },
    Command {
        show: Show::NeighborHistory,
        words: &["show [ip] bgp neighbors NEIGHBOR history [json]"],
        path: "/v1/show/bgp/neighbors/{peer}/history",
        help: "The last words of a session: why it ended, each time, with notifications, orders and states",
    },
    Command {
        show: Show::AdvertisedRoutes,
        words: &[
            "show [ip] bgp neighbors NEIGHBOR advertised-routes [json]",
            "show bgp <ipv4|ipv6> [unicast] neighbors NEIGHBOR advertised-routes [json]",
        ],
        path: "/v1/show/bgp/neighbors/{peer}/advertised-routes",
        help: "What was sent to a neighbour, as it went on the wire (IPv4 unless said)",
    },
    Command {
        show: Show::ReceivedRoutes,
        words: &[
            "show [ip] bgp neighbors NEIGHBOR received-routes [json]",
            "show bgp <ipv4|ipv6> [unicast] neighbors NEIGHBOR received-routes [json]",
        ],
        path: "/v1/show/bgp/neighbors/{peer}/received-routes",
        help: "What a neighbour sent, before import policy (IPv4 unless said)",
    },
    Command {
        show: Show::NeighborRoutes,
        words: &[
            "show [ip] bgp neighbors NEIGHBOR routes [json]",
            "show bgp <ipv4|ipv6> [unicast] neighbors NEIGHBOR routes [json]",
        ],
        path: "/v1/show/bgp/neighbors/{peer}/routes",
        help: "What of a neighbour's routes is in the table, after import policy (IPv4 unless said)",
    },
    Command {
        show: Show::CiliumPeers,
        words: &["bgp peers"],
        path: "/v1/bgp/peers",
        help: "Sessions, as Cilium lists them",
    },
    Command {
        show: Show::CiliumRoutes,
        words: &[
            "bgp routes [available|advertised|received] [ipv4|ipv6] [unicast] [vrouter ASN] [peer ADDRESS]",
            "bgp routes [available|advertised|received] [ipv4|ipv6] [unicast] [vrouter ASN] neighbor ADDRESS",
            "bgp routes [available|advertised|received] [ipv4|ipv6] [unicast] peer ADDRESS vrouter ASN",
        ],
        path: "/v1/bgp/routes",
        help: "Routes in the table, sent to or received from peers, as Cilium lists them",
    },
    Command {
        show: Show::CiliumPolicies,
        words: &["bgp route-policies [vrouter ASN]"],
        path: "/v1/bgp/route-policies",
        help: "What import and export policies match and do, as Cilium lists them",
    },
];

/// Words that were understood.
#[derive(Clone, Debug)]
pub struct Request {
    /// The command.
    pub command: &'static Command,
    /// Whether the last word was `json`.
    pub json: bool,
    values: Vec<(&'static str, String)>,
}

/// Words that were not understood. Reads as vtysh says it, with the words that would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotUnderstood {
    /// There is no such word at this place.
    Unknown {
        /// All words.
        line: String,
        /// Those that were understood.
        understood: String,
        /// What may follow these.
        possible: Vec<String>,
    },
    /// The abbreviation fits several words.
    Ambiguous {
        /// All words.
        line: String,
        /// What it can mean.
        possible: Vec<String>,
    },
    /// Something must follow.
    Incomplete {
        /// All words.
        line: String,
        /// What may follow.
        possible: Vec<String>,
    },
    /// The prefix is of the other family.
    WrongFamily {
        /// The prefix.
        prefix: String,
        /// The family that was asked for.
        family: String,
    },
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { line, understood, possible } if possible.is_empty() => {
                write!(f, "% Unknown command: {line}\n  nothing can follow '{understood}'")
            }
            Self::Unknown { line, understood, possible } if understood.is_empty() => {
                write!(f, "% Unknown command: {line}\n  commands start with: {}", possible.join(", "))
            }
            Self::Unknown { line, understood, possible } => {
                write!(
                    f,
                    "% Unknown command: {line}\n  possible after '{understood}': {}",
                    possible.join(", ")
                )
            }
            Self::Ambiguous { line, possible } => {
                write!(f, "% Ambiguous command: {line}\n  can be: {}", possible.join(", "))
            }
            Self::Incomplete { line, possible } => {
                write!(f, "% Command incomplete: {line}\n  goes on with: {}", possible.join(", "))
            }
            Self::WrongFamily { prefix, family } => {
                write!(f, "% {prefix} is not an {family} prefix or address")
            }
        }
    }
}

impl std::error::Error for NotUnderstood {}

/// Finds the command that these words mean.
///
/// # Errors
/// [`NotUnderstood`], with the words that would be understood.
pub fn parse<T: AsRef<str>>(words: &[T]) -> Result<Request, NotUnderstood> {
    understand(COMMANDS, words)?.finish()
}

/// A row of some table of commands.
pub(crate) trait Row {
    /// Its words.
    fn words(&self) -> &'static [&'static str];
}

impl Row for Command {
    fn words(&self) -> &'static [&'static str] {
        self.words
    }
}

/// Finds the row of a table that these words mean.
pub(crate) fn understand<R: Row, T: AsRef<str>>(
    table: &'static [R],
    words: &[T],
) -> Result<Candidate<R>, NotUnderstood> {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let line = words.join(" ");
    let mut alive: Vec<Candidate<R>> = candidates(table).collect();
    for (position, word) in words.iter().enumerate() {
        let meant = match meaning(&alive, position, word) {
            Ok(meant) => meant,
            Err(possible) if possible.is_empty() => {
                let understood = words[..position].join(" ");
                return Err(NotUnderstood::Unknown {
                    line,
                    understood,
                    possible: next_words(&alive, position),
                });
            }
            Err(possible) => return Err(NotUnderstood::Ambiguous { line, possible }),
        };
        alive.retain_mut(|candidate| candidate.take(position, meant, word));
    }
    let possible = next_words(&alive, words.len());
    match alive.into_iter().find(|candidate| candidate.sequence.len() == words.len()) {
        Some(candidate) => Ok(candidate),
        None => Err(NotUnderstood::Incomplete { line, possible }),
    }
}

/// Every sequence of words of a table.
fn candidates<R: Row>(table: &'static [R]) -> impl Iterator<Item = Candidate<R>> {
    let sequences = |command: &'static R| {
        command.words().iter().flat_map(|text| expand(text)).map(move |sequence| (command, sequence))
    };
    table.iter().flat_map(sequences).map(|(command, sequence)| Candidate {
        command,
        sequence,
        values: Vec::new(),
    })
}

/// A row that the words so far fit.
pub(crate) struct Candidate<R: 'static> {
    pub(crate) command: &'static R,
    sequence: Sequence,
    pub(crate) values: Vec<(&'static str, String)>,
}

impl<R> Candidate<R> {
    /// Whether the next word fits; its value is kept.
    fn take(&mut self, position: usize, meant: Token, word: &str) -> bool {
        if self.sequence.get(position) != Some(&meant) {
            return false;
        }
        match meant {
            Token::Literal(literal) => {
                if let Some(name) = switch(literal) {
                    let value = if literal == "ip" { "ipv4" } else { literal };
                    self.values.push((name, value.to_owned()));
                }
            }
            Token::Value(name) => self.values.push((query_name(name), word.to_owned())),
        }
        true
    }
}

impl Candidate<Command> {
    fn finish(self) -> Result<Request, NotUnderstood> {
        let json = self.sequence.last() == Some(&Token::Literal("json"));
        let mut request = Request { command: self.command, json, values: self.values };
        if let Some(prefix) = request.value("prefix").map(str::to_owned) {
            let is_ipv4 = parse_query(&prefix).as_ref().is_some_and(Query::is_ipv4);
            let family = if is_ipv4 { "ipv4" } else { "ipv6" };
            match request.value("family") {
                Some(asked) if asked != family => {
                    let family = if is_ipv4 { "IPv6" } else { "IPv4" }.to_owned();
                    return Err(NotUnderstood::WrongFamily { prefix, family });
                }
                Some(_) => {}
                None => request.values.push(("family", family.to_owned())),
            }
        }
        Ok(request)
    }
}

/// What a word means at this place: a literal, abbreviated or not, before a value. An empty error means nothing, a full
/// one too much.
fn meaning<R>(alive: &[Candidate<R>], position: usize, word: &str) -> Result<Token, Vec<String>> {
    let here: Vec<Token> =
        alive.iter().filter_map(|candidate| candidate.sequence.get(position)).copied().collect();
    let mut literals: Vec<&str> = here
        .iter()
        .filter_map(|token| match token {
            Token::Literal(literal) if literal.starts_with(word) => Some(*literal),
            _ => None,
        })
        .collect();
    literals.sort_unstable();
    literals.dedup();
    if let Some(exact) = literals.iter().find(|literal| **literal == word) {
        return Ok(Token::Literal(exact));
    }
    match literals.as_slice() {
        [] => here
            .into_iter()
            .find(|token| matches!(token, Token::Value(name) if accepts(name, word)))
            .ok_or_else(Vec::new),
        [single] => Ok(Token::Literal(single)),
        several => Err(several.iter().map(ToString::to_string).collect()),
    }
}

/// Whether a word can be such a value.
fn accepts(name: &str, word: &str) -> bool {
    match name {
        "PREFIX" => parse_query(word).is_some(),
        "ADDRESS" => word.parse::<std::net::IpAddr>().is_ok(),
        "ASN" => word.parse::<u32>().is_ok(),
        _ => !word.is_empty(),
    }
}

/// The name of a value in the path or the query.
fn query_name(value: &str) -> &'static str {
    match value {
        "PREFIX" => "prefix",
        "ADDRESS" => "peer",
        "ASN" => "vrouter",
        "TEXT" => "text",
        _ => "peer",
    }
}

/// Literals that choose something.
fn switch(literal: &str) -> Option<&'static str> {
    match literal {
        "ip" | "ipv4" | "ipv6" => Some("family"),
        "available" | "advertised" | "received" => Some("table"),
        "in" | "out" => Some("direction"),
        _ => None,
    }
}

/// What may stand at this place, values with an example.
fn next_words<R>(alive: &[Candidate<R>], position: usize) -> Vec<String> {
    let mut literals = Vec::new();
    let mut values = Vec::new();
    for candidate in alive {
        match candidate.sequence.get(position) {
            Some(Token::Literal(literal)) => literals.push((*literal).to_owned()),
            Some(Token::Value("PREFIX")) => {
                values.push("PREFIX (10.0.0.0/8, fd00::/64, 192.0.2.1)".to_owned())
            }
            Some(Token::Value("NEIGHBOR")) => {
                values.push("NEIGHBOR (its address, name or interface)".to_owned())
            }
            Some(Token::Value(name)) => values.push((*name).to_owned()),
            None => {}
        }
    }
    for words in [&mut literals, &mut values] {
        words.sort();
        words.dedup();
    }
    literals.extend(values);
    literals
}

impl Request {
    /// A value: `family`, `prefix`, `peer`, `table` or `vrouter`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// What to ask bgpd for. `format` is `json` or `text`.
    #[must_use]
    pub fn target(&self, format: &str, instance: Option<&str>) -> String {
        let mut path = String::new();
        let mut used = Vec::new();
        let mut rest = self.command.path;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').unwrap_or((after, ""));
            let value = self.value(name).unwrap_or(if name == "family" { "ipv4" } else { "" });
            path.push_str(before);
            path.push_str(&percent_encode(value));
            used.push(name);
            rest = behind;
        }
        path.push_str(rest);
        let mut separator = '?';
        let open = self.values.iter().filter(|(name, _)| !used.contains(name));
        let open = open.map(|(name, value)| (*name, value.as_str()));
        for (name, value) in open.chain([("format", format)]).chain(instance.map(|name| ("instance", name))) {
            path.push(separator);
            path.push_str(name);
            path.push('=');
            path.push_str(&percent_encode(value));
            separator = '&';
        }
        path
    }
}

/// Percent-encodes everything that may not stand in a segment of a path or in a value of a query (RFC 3986).
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// Writes each row's help and words into the OpenAPI document, and tells which rows it does not serve.
pub fn describe(document: &mut utoipa::openapi::OpenApi) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for command in COMMANDS {
        match document.paths.paths.get_mut(command.path).and_then(|item| item.get.as_mut()) {
            Some(operation) => {
                operation.summary = Some(command.help.to_owned());
                operation.description = Some(format!("`{}`", command.words.join("` or `")));
            }
            None => missing.push(command.path),
        }
    }
    missing
}

#[cfg(test)]
mod tests;
