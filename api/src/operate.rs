//! The table of orders: what an operator can tell a session to do, in vtysh's words. The counterpart of the table of show
//! commands; bgpd carries out every row, `rutterctl` understands every row.
//!
//! Invariant: an order is one `POST` per session that bgpd carries out whole or refuses whole.

use crate::show::command::{NotUnderstood, Row, percent_encode, understand};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Close the session and open it again.
    Reset,
    /// Have routes sent again, without closing anything.
    Soft,
    /// Close the session and keep it down.
    Disable,
    /// Take that back.
    Enable,
    /// Ask everybody to prefer other paths (RFC 8326), without closing anything.
    Drain,
    /// Take that back.
    Undrain,
}

/// A row.
#[derive(Debug)]
pub struct OrderRow {
    /// What to do.
    pub order: Order,
    /// Its words, in the grammar of the show commands.
    pub words: &'static [&'static str],
    /// What it does, in one line.
    pub help: &'static str,
}

impl Row for OrderRow {
    fn words(&self) -> &'static [&'static str] {
        self.words
    }
}

/// All orders.
pub const ORDERS: &[OrderRow] = &[
    OrderRow {
        order: Order::Reset,
        words: &["clear [ip] bgp <*|all|NEIGHBOR> [message TEXT]"],
        help: "Close the session and open it again; also ends the wait after a prefix limit",
    },
    OrderRow {
        order: Order::Soft,
        words: &["clear [ip] bgp [ipv4|ipv6] [unicast] <*|all|NEIGHBOR> <soft|soft in|soft out|in|out>"],
        help: "Have the neighbour send its routes again (in), send ours again (out), or both; the session stays",
    },
    OrderRow {
        order: Order::Disable,
        words: &["neighbor NEIGHBOR shutdown [message TEXT]"],
        help: "Close the session and keep it down until it is taken back, or bgpd restarts",
    },
    OrderRow {
        order: Order::Enable,
        words: &["no neighbor NEIGHBOR shutdown"],
        help: "Take the shutdown back",
    },
    OrderRow {
        order: Order::Drain,
        words: &["neighbor NEIGHBOR drain"],
        help: "Send our routes again with GRACEFUL_SHUTDOWN and prefer others to the neighbour's; the session stays",
    },
    OrderRow { order: Order::Undrain, words: &["no neighbor NEIGHBOR drain"], help: "Take the drain back" },
];

/// An order that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// What to do.
    pub order: Order,
    /// The neighbour; absent: all.
    pub neighbor: Option<String>,
    family: Option<String>,
    directions: Vec<&'static str>,
    text: Option<String>,
}

/// Finds the order that these words mean. All words after `message` are one text.
///
/// # Errors
/// [`NotUnderstood`], with the words that would be understood.
pub fn parse<T: AsRef<str>>(words: &[T]) -> Result<Ordered, NotUnderstood> {
    let mut line: Vec<String> = words.iter().map(|word| word.as_ref().to_owned()).collect();
    let message = line.iter().position(|word| word.len() > 1 && "message".starts_with(word.as_str()));
    if let Some(position) = message.filter(|position| position + 2 < line.len()) {
        let text = line.split_off(position + 1).join(" ");
        line.push(text);
    }
    let found = understand(ORDERS, &line)?;
    let value =
        |name: &str| found.values.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
    // `ip` alone chooses IPv4 for show commands; a reset is of the whole session.
    let family = value("family").filter(|_| found.command.order == Order::Soft);
    let directions = match value("direction").as_deref() {
        Some("in") => vec!["soft-in"],
        Some("out") => vec!["soft-out"],
        _ => vec!["soft-in", "soft-out"],
    };
    let neighbor = value("peer");
    Ok(Ordered { order: found.command.order, neighbor, family, directions, text: value("text") })
}

impl Ordered {
    /// What to `POST` for a neighbour, in this order.
    #[must_use]
    pub fn targets(&self, neighbor: &str, instance: Option<&str>) -> Vec<String> {
        let commands = match self.order {
            Order::Reset => vec!["reset"],
            Order::Disable => vec!["disable"],
            Order::Enable => vec!["enable"],
            Order::Drain => vec!["drain"],
            Order::Undrain => vec!["undrain"],
            Order::Soft => self.directions.clone(),
        };
        let query =
            [("text", self.text.as_deref()), ("family", self.family.as_deref()), ("instance", instance)];
        let query: Vec<String> = query
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", percent_encode(value?))))
            .collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let neighbor = percent_encode(neighbor);
        commands
            .into_iter()
            .map(|command| format!("/v1/control/bgp/neighbors/{neighbor}/{command}{query}"))
            .collect()
    }

    /// What was done, for people.
    #[must_use]
    pub fn done(&self) -> &'static str {
        match (self.order, self.directions.as_slice()) {
            (Order::Reset, _) => "session reset",
            (Order::Disable, _) => "shut down",
            (Order::Enable, _) => "shutdown taken back",
            (Order::Drain, _) => "drained",
            (Order::Undrain, _) => "drain taken back",
            (Order::Soft, ["soft-in"]) => "routes asked for again",
            (Order::Soft, ["soft-out"]) => "routes sent again",
            (Order::Soft, _) => "routes asked for and sent again",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let ordered = parse(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
        let neighbor = ordered.neighbor.clone().unwrap_or_else(|| "EACH".to_owned());
        let prefix = "/v1/control/bgp/neighbors/";
        ordered.targets(&neighbor, None).iter().map(|target| target.replace(prefix, "")).collect()
    }

    #[test]
    fn lines_and_where_they_lead() {
        let rows: &[(&str, &[&str])] = &[
            ("clear bgp 10.0.0.1", &["10.0.0.1/reset"]),
            ("clear ip bgp 10.0.0.1", &["10.0.0.1/reset"]),
            ("clear bgp *", &["EACH/reset"]),
            ("clear bgp all message new code", &["EACH/reset?text=new%20code"]),
            ("clear bgp tor-a soft", &["tor-a/soft-in", "tor-a/soft-out"]),
            ("clear bgp tor-a soft in", &["tor-a/soft-in"]),
            ("clear bgp tor-a out", &["tor-a/soft-out"]),
            ("clear bgp ipv6 unicast fd00::1 soft in", &["fd00::1/soft-in?family=ipv6"]),
            ("cl bgp ipv4 * so o", &["EACH/soft-out?family=ipv4"]),
            ("neighbor 10.0.0.1 shutdown", &["10.0.0.1/disable"]),
            (
                "nei eth0/1 shut mess back at 6 & later",
                &["eth0%2F1/disable?text=back%20at%206%20%26%20later"],
            ),
            ("neighbor tor-a shutdown message maintenance", &["tor-a/disable?text=maintenance"]),
            ("no neighbor 10.0.0.1 shutdown", &["10.0.0.1/enable"]),
            ("nei tor-a drain", &["tor-a/drain"]),
            ("no neighbor tor-a dr", &["tor-a/undrain"]),
        ];
        for (line, expected) in rows {
            assert_eq!(targets(line), *expected, "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said_with_what_would_be() {
        let refused = |line: &str| parse(&line.split(' ').collect::<Vec<_>>()).expect_err(line).to_string();
        assert_eq!(
            refused("neighbor 10.0.0.1 password x"),
            "% Unknown command: neighbor 10.0.0.1 password x\n  possible after 'neighbor 10.0.0.1': drain, \
             shutdown"
        );
        assert_eq!(
            refused("clear bgp"),
            "% Command incomplete: clear bgp\n  goes on with: *, all, ipv4, ipv6, unicast, NEIGHBOR (its address, name \
             or interface)"
        );
        assert_eq!(
            refused("no neighbor x"),
            "% Command incomplete: no neighbor x\n  goes on with: drain, shutdown"
        );
    }
}
