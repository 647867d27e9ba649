//! RFC 7606 side by side: the same malformed UPDATEs to rutter, FRR and BIRD, each from a speaker of its own.
//!
//! rutter must do what the RFC says in every row. FRR and BIRD show that the rows ask for nothing odd: where one of them
//! does otherwise, the row names it, and the test fails as soon as a difference is there that no row names.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, RawPeer, SeenPath, Session, Star, attribute, run};
use rutter_lab::{Bgpd, wait_for};

use crate::daemons::{Wants, bird, frr, over_v4, rutter};

const HOSTS: [&str; 3] = ["frr", "bird", "rutter"];
/// The speaker of bytes in the middle.
const SPEAKER: u32 = 65_009;
/// rutter, as one of three that are judged.
const RUTTER: u32 = 65_003;
const OLD: u16 = 1;
const NEW: u16 = 2;

/// What became of the route after the malformed UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The route in the UPDATE was taken, without the attribute at fault.
    Taken,
    /// It was treated as withdrawn; the session goes on.
    Withdrawn,
    /// The session was reset.
    Reset,
}

use Outcome::{Reset, Taken, Withdrawn};

struct Row {
    what: &'static str,
    attributes: Vec<Vec<u8>>,
    /// What RFC 7606 says.
    expect: Outcome,
    /// Who does otherwise. FRR 8.4 resets the session for ORIGIN twice, and judges ORIGINATOR_ID and CLUSTER_LIST from an
    /// external peer, which are to be discarded unread, by their length.
    otherwise: &'static [&'static str],
}

fn good(mark: u16) -> Vec<Vec<u8>> {
    let path = [&[2, 1][..], &SPEAKER.to_be_bytes()].concat();
    let mark = [&65_009u16.to_be_bytes()[..], &mark.to_be_bytes()].concat();
    vec![
        attribute(0x40, 1, &[0]),
        attribute(0x40, 2, &path),
        // Replaced by the link's own next hop for each receiver.
        attribute(0x40, 3, &[0, 0, 0, 0]),
        attribute(0xc0, 8, &mark),
    ]
}

fn replaced(flags: u8, code: u8, value: &[u8]) -> Vec<Vec<u8>> {
    let mut attributes = without(code);
    attributes.push(attribute(flags, code, value));
    attributes
}

fn without(code: u8) -> Vec<Vec<u8>> {
    let mut attributes = good(NEW);
    attributes.retain(|attribute| attribute[1] != code);
    attributes
}

fn twice(flags: u8, code: u8, value: &[u8]) -> Vec<Vec<u8>> {
    let mut attributes = good(NEW);
    attributes.push(attribute(flags, code, value));
    attributes
}

fn rows() -> Vec<Row> {
    let row = |what, attributes, expect| Row { what, attributes, expect, otherwise: &[] };
    let but = |what, attributes, expect, otherwise| Row { what, attributes, expect, otherwise };
    let asn = SPEAKER.to_be_bytes();
    let path = |head: &[u8]| [head, &asn].concat();
    let mp_twice = {
        let reach = [&[0, 2, 1, 16][..], &[0x20; 16], &[0, 32, 0x20, 1, 0xd, 0xb8]].concat();
        [good(NEW), vec![attribute(0x80, 14, &reach), attribute(0x80, 14, &reach)]].concat()
    };
    vec![
        row("nothing wrong", good(NEW), Taken),
        row("ORIGIN 7 (§7.1)", replaced(0x40, 1, &[7]), Withdrawn),
        row("ORIGIN of two octets (§7.1)", replaced(0x40, 1, &[0, 0]), Withdrawn),
        row("ORIGIN flagged optional (§3 c)", replaced(0xc0, 1, &[0]), Withdrawn),
        row("no ORIGIN (§3 d)", without(1), Withdrawn),
        but("ORIGIN twice, the first counts (§3 g)", twice(0x40, 1, &[2]), Taken, &["FRR"]),
        row("no AS_PATH (§3 d)", without(2), Withdrawn),
        row("AS_PATH, segment type 9 (§7.2)", replaced(0x40, 2, &path(&[9, 1])), Withdrawn),
        row("AS_PATH that overruns (§7.2)", replaced(0x40, 2, &path(&[2, 5])), Withdrawn),
        row(
            "AS_PATH with a lone octet (§7.2)",
            replaced(0x40, 2, &[path(&[2, 1]), vec![2]].concat()),
            Withdrawn,
        ),
        row(
            "AS_PATH with an empty segment (§7.2)",
            replaced(0x40, 2, &[path(&[2, 1]), vec![2, 0]].concat()),
            Withdrawn,
        ),
        row("no NEXT_HOP (§3 d)", without(3), Withdrawn),
        row("NEXT_HOP of three octets (§7.3)", replaced(0x40, 3, &[10, 0, 1]), Withdrawn),
        row("MED of three octets (§7.4)", replaced(0x80, 4, &[0, 0, 1]), Withdrawn),
        row("LOCAL_PREF from outside, of two octets (§7.5)", replaced(0x40, 5, &[0, 1]), Taken),
        row("ATOMIC_AGGREGATE with a value (§7.6)", replaced(0x40, 6, &[1]), Taken),
        row("AGGREGATOR of five octets (§7.7)", replaced(0xc0, 7, &[0, 0, 0, 1, 1]), Taken),
        row("COMMUNITIES of five octets (§7.8)", replaced(0xc0, 8, &[0, 1, 0, 1, 0]), Withdrawn),
        row("COMMUNITIES of none (§7.8)", replaced(0xc0, 8, &[]), Withdrawn),
        but("ORIGINATOR_ID from outside (§7.9)", replaced(0x80, 9, &[1, 2, 3]), Taken, &["FRR"]),
        but("CLUSTER_LIST from outside (§7.10)", replaced(0x80, 10, &[1, 2, 3]), Taken, &["FRR"]),
        row("EXTENDED COMMUNITIES of nine octets (§7.14)", replaced(0xc0, 16, &[0; 9]), Withdrawn),
        row("LARGE COMMUNITY of thirteen octets (RFC 8092 §6)", replaced(0xc0, 32, &[0; 13]), Withdrawn),
        row("MP_REACH_NLRI twice (§3 g)", mp_twice, Reset),
    ]
}

/// One of those that are judged, and the speaker of bytes that talks to it.
struct Judged<'a> {
    oracle: &'a dyn Oracle,
    link: usize,
    raw: RawPeer,
}

impl<'a> Judged<'a> {
    fn new(star: &Star, oracle: &'a dyn Oracle, link: usize) -> Result<Self> {
        Ok(Self { oracle, link, raw: speak(star, link)? })
    }

    fn announce(&mut self, attributes: &[Vec<u8>], prefix: &str) -> Result<()> {
        let next_hop = attribute(0x40, 3, &[10, 0, u8::try_from(self.link)?, 1]);
        let attributes: Vec<_> = attributes
            .iter()
            .map(|bytes| if bytes[1..] == [3, 4, 0, 0, 0, 0] { next_hop.clone() } else { bytes.clone() })
            .collect();
        self.raw.announce(&attributes, &[prefix])
    }

    /// Sends a good route, then the row over it, and after it a good one that shows that both were read.
    fn outcome(&mut self, star: &Star, number: usize, row: &Row) -> Result<Outcome> {
        let (prefix, sentinel) = (format!("198.51.{number}.0/24"), format!("198.52.{number}.0/24"));
        self.announce(&good(OLD), &prefix)?;
        self.oracle.wait_path(&prefix)?;
        self.announce(&row.attributes, &prefix)?;
        // The connection may be closed by now.
        let _ = self.announce(&good(OLD), &sentinel);
        let oracle = self.oracle;
        let raw = &mut self.raw;
        let outcome = wait_for(PATIENCE, &format!("{} to judge {}", oracle.kind(), row.what), || {
            if raw.closed_within(Duration::from_millis(20))? {
                return Ok(Reset);
            }
            ensure!(!oracle.paths(&sentinel)?.is_empty(), "nothing came of it");
            let mark = format!("65009:{NEW}");
            match oracle.paths(&prefix)?.as_slice() {
                [] => Ok(Withdrawn),
                [path] if path.communities.contains(&mark) => Ok(Taken),
                other => anyhow::bail!("the old path stands: {other:?}"),
            }
        })?;
        if outcome == Reset {
            self.raw = speak(star, self.link)?;
        }
        Ok(outcome)
    }
}

fn speak(star: &Star, link: usize) -> Result<RawPeer> {
    let remote = format!("10.0.{link}.2");
    wait_for(PATIENCE, &format!("a session with {remote}"), || {
        let mut raw = RawPeer::connect(&star.hub, &remote)?;
        raw.establish(SPEAKER, Ipv4Addr::new(10, 0, u8::try_from(link)?, 1))?;
        Ok(raw)
    })
}

/// rutter as one of three, by its own show output.
struct Rutter(Bgpd);

impl Oracle for Rutter {
    fn kind(&self) -> &'static str {
        "rutter"
    }

    fn session(&self, neighbor: std::net::IpAddr) -> Result<Session> {
        let shown = self.0.get(&format!("/v1/show/bgp/neighbors/{neighbor}"))?;
        let state = shown[neighbor.to_string()]["bgpState"].as_str().context("no bgpState")?;
        Ok(Session { established: state == "Established", state: state.to_owned(), ..Session::default() })
    }

    fn paths(&self, prefix: &str) -> Result<Vec<SeenPath>> {
        let shown = self.0.get(&format!("/v1/show/bgp/ipv4/{}", prefix.replace('/', "%2F")))?;
        let paths = shown["paths"].as_array().map(Vec::as_slice).unwrap_or_default();
        let communities = |path: &serde_json::Value| {
            let words = path["community"]["string"].as_str().unwrap_or_default();
            words.split_whitespace().map(str::to_owned).collect()
        };
        Ok(paths
            .iter()
            .map(|path| SeenPath { communities: communities(path), ..SeenPath::default() })
            .collect())
    }
}

#[test]
fn the_same_faults_to_three() {
    run("rfc7606", &HOSTS, |star| {
        let wants = Wants { remote_asn: SPEAKER, ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", wants))?;
        let neighbor = over_v4(3, SPEAKER).at("10.0.3.1").with("passive: true");
        let rutter = Rutter(star.peer(3)?.bgpd(&rutter(RUTTER, &[neighbor], &[]))?);
        let mut judged =
            [Judged::new(star, &frr, 1)?, Judged::new(star, &bird, 2)?, Judged::new(star, &rutter, 3)?];

        let mut wrong = Vec::new();
        for (number, row) in rows().iter().enumerate() {
            for judged in &mut judged {
                let outcome = judged.outcome(star, number, row).with_context(|| row.what.to_owned())?;
                let kind = judged.oracle.kind();
                if outcome != row.expect && !row.otherwise.contains(&kind) {
                    wrong.push(format!("{}: {kind} has it {outcome:?}, not {:?}", row.what, row.expect));
                }
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    });
}
