//! Runs a table: all rows at once, each on its own session with one bgpd.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{KEEPALIVE, NOTIFICATION, OPEN, RawPeer, Star, UPDATE, open, open_two_octet, run};
use rutter_lab::Bgpd;

use super::sender::{Kind, OLD, Sender};
use super::watcher::{Route, Watcher};
use super::{Expect, MARTIANS, Row, Seen, Setting};
use crate::daemons::{RUTTER, over_v4, rutter};

const EXTERNAL_WATCHER: u32 = 65_009;
const BOTH_FAMILIES: &str = "families: [ipv4-unicast, ipv6-unicast]";
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after the last sentinel a withdrawal may still be on its way.
const QUIET: Duration = Duration::from_millis(250);

/// Sessions with one bgpd.
const AT_ONCE: usize = 150;

struct Case<'a> {
    row: &'a Row,
    sender: Sender,
    peer: RawPeer,
}

/// Runs every row on every kind of peer it names, and fails with all that went wrong.
#[track_caller]
pub(super) fn judge(name: &str, rows: &[Row]) {
    let pairs: Vec<_> =
        rows.iter().flat_map(|row| row.on.iter().map(move |setting| (row, *setting))).collect();
    for (number, part) in (1..).zip(pairs.chunks(AT_ONCE)) {
        judge_part(&format!("{name}-{number}"), part);
    }
}

#[track_caller]
fn judge_part(name: &str, pairs: &[(&Row, Setting)]) {
    run(name, &["raw"], |star| {
        let senders: Vec<_> = (0..)
            .zip(pairs)
            .map(|(number, (_, (kind, nlri)))| Sender { kind: *kind, nlri: *nlri, number })
            .collect();
        let bgpd = start(star, &senders)?;
        let watcher = |address: &str, asn| {
            let mut peer = RawPeer::connect_from(star.peer(1)?, address, "10.0.1.1")?;
            peer.establish(asn, address.parse()?)?;
            Ok::<_, anyhow::Error>(Watcher::new(peer))
        };
        let mut external = watcher("10.0.1.2", EXTERNAL_WATCHER)?;
        let mut internal = watcher("10.0.1.3", RUTTER)?;
        let mut cases = Vec::new();
        for ((row, _), sender) in pairs.iter().zip(senders) {
            let peer = establish(star, &sender)?;
            cases.push(Case { row, sender, peer });
        }
        let old: Vec<_> = cases.iter().map(|case| case.sender.prefix()).collect();
        for watcher in [&mut external, &mut internal] {
            let missing = watcher.wait(&old, PATIENCE)?;
            ensure!(missing == 0, "{missing} of {} good routes are missing from the start", old.len());
        }
        for case in &mut cases {
            case.peer.send(UPDATE, &(case.row.body)(&case.sender))?;
            // bgpd may have closed the connection by now.
            let _ = case.peer.send(UPDATE, &case.sender.last());
        }
        let kept = cases.iter().filter(|case| !matches!(case.row.expect, Expect::Reset(..)));
        let kept: Vec<_> = kept.map(|case| case.sender.sentinel()).collect();
        external.wait(&kept, PATIENCE)?;
        internal.read(QUIET)?;
        external.read(QUIET)?;

        let mut wrong = Vec::new();
        let count = cases.len();
        for mut case in cases {
            if let Err(error) = case.verdict(&external, &internal) {
                let Sender { kind, nlri, .. } = case.sender;
                wrong.push(format!("{} ({kind:?}, {nlri:?}): {error:#}", case.row.what));
            }
        }
        println!("{name}: {count} cases, {} wrong", wrong.len());
        ensure!(wrong.is_empty(), "{} of {count} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
        bgpd.daemon().ensure_running()
    });
}

fn start(star: &Star, senders: &[Sender]) -> Result<Bgpd> {
    // Every address of the senders' network is one of the peer host.
    star.peer(1)?.ip(&["route", "add", "local", "10.9.0.0/16", "dev", "lo"])?;
    star.peer(1)?.ip(&["address", "add", "10.0.1.3/24", "dev", "eth0"])?;
    star.hub.ip(&["route", "add", "10.9.0.0/16", "via", "10.0.1.2"])?;
    let watcher = |address: &str, asn, number| {
        over_v4(number, asn).at(address).with("passive: true").with(BOTH_FAMILIES)
    };
    let mut neighbors = vec![
        watcher("10.0.1.2", EXTERNAL_WATCHER, 90_001),
        watcher("10.0.1.3", RUTTER, 90_002).with("routeReflectorClient: true"),
    ];
    neighbors.extend(senders.iter().map(|sender| {
        watcher(&sender.address().to_string(), sender.kind.asn(), usize::from(sender.number))
            .with("export: {name: nothing, defaultAction: reject}")
    }));
    star.bgpd(&rutter(RUTTER, &neighbors, &[]))
}

/// Opens the session and announces the old route without waiting for what bgpd says.
fn establish(star: &Star, sender: &Sender) -> Result<RawPeer> {
    let mut peer = RawPeer::connect_from(star.peer(1)?, &sender.address().to_string(), "10.0.1.1")?;
    let (asn, id) = (sender.kind.asn(), sender.address());
    let open = match (sender.kind, u16::try_from(asn)) {
        (Kind::External2 | Kind::Internal2, Ok(asn)) => open_two_octet(asn, id),
        _ => open(asn, 180, id),
    };
    peer.send(OPEN, &open)?;
    peer.send(KEEPALIVE, &[])?;
    peer.send(UPDATE, &sender.old())?;
    Ok(peer)
}

impl Case<'_> {
    fn verdict(&mut self, external: &Watcher, internal: &Watcher) -> Result<()> {
        let frames = self.peer.drain(Duration::from_millis(1))?;
        let told = frames.iter().find(|frame| frame.kind == NOTIFICATION).map(|frame| frame.body.as_slice());
        let prefix = self.sender.prefix();
        let routes = (external.route(&prefix), internal.route(&prefix));
        if let Expect::Reset(code, subcode) = self.row.expect {
            ensure!(told.is_some(), "the session was kept instead of {code}/{subcode}");
            ensure!(
                matches!(told, Some([a, b, ..]) if (*a, *b) == (code, subcode)),
                "NOTIFICATION {told:?} instead of {code}/{subcode}"
            );
            ensure!(routes == (None, None), "the old route is still there: {routes:?}");
            return Ok(());
        }
        ensure!(told.is_none(), "the session was reset: {told:?}");
        ensure!(external.route(&self.sender.sentinel()).is_some(), "what came afterwards was not taken");
        let is_old = |route: &Route| route.value(8) == Some(&OLD);
        match (self.row.expect, routes) {
            (Expect::Withdrawn, routes) => ensure!(routes == (None, None), "not withdrawn: {routes:02x?}"),
            (Expect::Kept, (Some(one), Some(two))) => {
                ensure!(is_old(one) && is_old(two), "the old route was replaced by {one:02x?}, {two:02x?}");
            }
            (Expect::Replaced(check), (Some(one), Some(two))) => {
                ensure!(!is_old(one) && !is_old(two), "the old route is still there: {one:02x?}, {two:02x?}");
                let other = external.route(&self.sender.other()).is_some();
                let martian = MARTIANS.iter().any(|prefix| external.route(prefix).is_some());
                let seen = Seen { external: one, internal: two, other, martian };
                ensure!(check(&seen), "the new route is wrong: {one:02x?}, {two:02x?}, other {other}");
            }
            (Expect::Kept | Expect::Replaced(_), routes) => {
                return Err(anyhow::anyhow!("no route: {routes:02x?}")).context("expected one");
            }
            (Expect::Reset(..), _) => {}
        }
        Ok(())
    }
}
