//! BIRD's text output, read line by line.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result};
use rutter_lab::Bird;

use crate::oracle::Oracle;
use crate::seen::{SeenPath, Session, UnknownAttribute};

impl Oracle for Bird {
    fn kind(&self) -> &'static str {
        "BIRD"
    }

    fn session(&self, neighbor: IpAddr) -> Result<Session> {
        sessions(&self.birdc("show protocols all")?)
            .into_iter()
            .find(|(address, _)| *address == Some(neighbor))
            .map(|(_, session)| session)
            .with_context(|| format!("BIRD has no neighbor {neighbor}"))
    }

    /// BIRD shows when the session came up, computed anew each time, which moves it by some milliseconds.
    fn same_incarnation(&self, before: &Session, now: &Session) -> bool {
        match (seconds(&before.incarnation), seconds(&now.incarnation)) {
            (Some(before), Some(now)) => (before - now).abs() < 0.1,
            _ => before == now,
        }
    }

    fn paths(&self, prefix: &str) -> Result<Vec<SeenPath>> {
        let shown = self.birdc("show route all")?;
        paths(&shown, prefix)
    }
}

/// Seconds of the day in `15:24:46.171`.
fn seconds(time: &str) -> Option<f64> {
    time.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

/// All BGP protocols with their neighbour's address.
fn sessions(shown: &str) -> Vec<(Option<IpAddr>, Session)> {
    let mut sessions = Vec::new();
    for line in shown.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with(' ') {
            if let [_, "BGP", _, state, since, info @ ..] = words.as_slice() {
                let session = Session {
                    established: *state == "up",
                    state: info.join(" "),
                    incarnation: (*since).to_owned(),
                    last_error: String::new(),
                };
                sessions.push((None, session));
            }
            continue;
        }
        let (Some((address, session)), Some((key, value))) =
            (sessions.last_mut(), line.trim().split_once(':'))
        else {
            continue;
        };
        match key {
            "Neighbor address" => {
                *address = value.trim().split('%').next().and_then(|text| text.parse().ok())
            }
            "Last error" => session.last_error = value.trim().to_owned(),
            _ => {}
        }
    }
    sessions
}

/// The paths to one prefix in the output of `show route all`.
fn paths(shown: &str, prefix: &str) -> Result<Vec<SeenPath>> {
    let mut paths: Vec<SeenPath> = Vec::new();
    let mut here = false;
    for line in shown.lines() {
        if line.contains(" [") && !line.starts_with('\t') {
            // A line without a prefix is one more path to the prefix above.
            if !line.starts_with(' ') {
                here = line.split_whitespace().next() == Some(prefix);
            }
            if here {
                paths.push(SeenPath { best: line.contains("] *"), from: from(line), ..SeenPath::default() });
            }
            continue;
        }
        let (true, Some(path)) = (here, paths.last_mut()) else { continue };
        let line = line.trim();
        // `from` appears only where it differs from the next hop.
        if let (Some(via), None) = (line.strip_prefix("via "), path.from) {
            path.from = via.split_whitespace().next().and_then(|text| text.parse().ok());
        }
        if let Some((key, value)) = line.strip_prefix("BGP.").and_then(|rest| rest.split_once(':')) {
            attribute(path, key, value.trim()).with_context(|| format!("reading BIRD's line `{line}`"))?;
        }
    }
    Ok(paths)
}

/// The neighbour in `[frr4 14:31:19.807 from 10.0.0.1]`.
fn from(line: &str) -> Option<IpAddr> {
    let (_, rest) = line.split_once(" from ")?;
    rest.split([']', '%']).next()?.parse().ok()
}

fn attribute(path: &mut SeenPath, key: &str, value: &str) -> Result<()> {
    match key {
        "origin" => {
            path.origin = if value == "Incomplete" { "incomplete".to_owned() } else { value.to_owned() }
        }
        "as_path" => path.as_path = as_path(value),
        "next_hop" => path.next_hop = value.split_whitespace().next().map(str::parse).transpose()?,
        "med" => path.med = Some(value.parse()?),
        "local_pref" => path.local_pref = Some(value.parse()?),
        "atomic_aggr" => path.atomic_aggregate = true,
        "aggregator" => {
            let (address, asn) = value.split_once(" AS").context("no ASN")?;
            path.aggregator = Some((asn.parse()?, address.parse()?));
        }
        "community" => path.communities = tuples(value, ":"),
        "large_community" => path.large_communities = tuples(value, ":"),
        "ext_community" => {
            path.extended_communities = tuples(value, ":")
                .into_iter()
                .map(|text| text.replacen("rt:", "RT:", 1).replacen("ro:", "SoO:", 1))
                .collect();
        }
        "originator_id" => path.originator_id = Some(value.parse()?),
        "cluster_list" => {
            path.cluster_list =
                value.split_whitespace().map(|text| Ok(text.parse()?)).collect::<Result<_>>()?;
        }
        _ => {
            // `BGP.e3 [t]: 01 02` in hexadecimal, the flag being "transitive".
            let (code, flags) = key.split_once(' ').unwrap_or((key, ""));
            let Ok(code) = u8::from_str_radix(code, 16) else { return Ok(()) };
            let value = value
                .split_whitespace()
                // A long value is cut: `00 01 ...`.
                .take_while(|byte| *byte != "...")
                .map(|byte| u8::from_str_radix(byte, 16).context("no byte"))
                .collect::<Result<_>>()?;
            let flags = flags.contains('t').then_some(0xc0);
            path.unknown.push(UnknownAttribute { code, flags, value });
        }
    }
    Ok(())
}

/// `65000 {300 400}` in FRR's form, `65000 {300,400}`.
fn as_path(shown: &str) -> String {
    let mut text = String::new();
    let mut in_set = false;
    for character in shown.chars() {
        match character {
            '{' => in_set = true,
            '}' => in_set = false,
            _ => {}
        }
        text.push(if in_set && character == ' ' { ',' } else { character });
    }
    text
}

/// `(65000,1) (1, 2, 3)` as `65000:1` and `1:2:3`.
fn tuples(shown: &str, separator: &str) -> BTreeSet<String> {
    shown
        .split(')')
        .filter_map(|tuple| tuple.trim().strip_prefix('('))
        .map(|tuple| tuple.split(',').map(str::trim).collect::<Vec<_>>().join(separator))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "BIRD 2.0.12 ready.\nTable master4:\n\
        192.0.2.0/24         unicast [frr4 14:31:19.807] * (100) [e]\n\tvia 10.0.0.1 on eth0\n\tType: BGP univ\n\
        \tBGP.origin: EGP\n\tBGP.as_path: 65000 100 {300 400}\n\tBGP.next_hop: 10.0.0.1\n\tBGP.local_pref: 100\n\
        \tBGP.community: (65000,5) (65535,65281)\n\tBGP.large_community: (1, 2, 3)\n\
        \tBGP.aggregator: 1.2.3.4 AS65000\n\
        \x20                    unicast [other 14:31:20.000 from 10.0.0.9] (100) [i]\n\tvia 10.0.0.3 on eth0\n\
        \tBGP.origin: IGP\n\tBGP.as_path: \n\
        198.51.100.0/24      blackhole [s4 14:31:16.757] * (200)\n\tType: static univ\n";

    #[test]
    fn every_path_of_the_prefix_and_no_other() {
        let seen = paths(ROUTES, "192.0.2.0/24").unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].as_path, "65000 100 {300,400}");
        assert_eq!(seen[0].communities, ["65000:5", "65535:65281"].map(str::to_owned).into());
        assert_eq!(seen[0].large_communities, ["1:2:3".to_owned()].into());
        assert_eq!(seen[0].aggregator, Some((65000, [1, 2, 3, 4].into())));
        assert_eq!(seen[0].from, Some([10, 0, 0, 1].into()));
        assert!(seen[0].best && !seen[1].best);
        assert_eq!(seen[1].from, Some([10, 0, 0, 9].into()));
        assert_eq!(paths(ROUTES, "192.0.2.0/25").unwrap(), []);
    }
}
