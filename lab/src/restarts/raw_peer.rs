//! The neighbour that counts: it knows what it was told, sends routes of its own without end, and reads in small pieces.
//!
//! Invariant: what it was told and what bgpd says it has told must be the same in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::Updates;
use super::stage::HELD;
use crate::raw::{RawPeer, attribute};

/// Prefixes that it announces and withdraws in turn.
const OWN: u8 = 40;

pub(super) struct Counting {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Counted>>,
}

/// What was counted. The session goes on as long as this is kept.
pub(super) struct Counted {
    pub(super) updates: Updates,
    /// The prefixes it has been told of.
    pub(super) table: BTreeSet<String>,
    /// Held open: its routes are in the tables that are compared.
    _session: RawPeer,
}

impl Counting {
    /// Begins to read and to send on an established session.
    pub(super) fn start(raw: RawPeer) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || count(raw, &told));
        Self { stop, thread }
    }

    /// Stops sending and counting.
    pub(super) fn finish(self) -> Result<Counted> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_panic| anyhow!("the counting neighbour panicked"))?
    }
}

fn count(mut raw: RawPeer, stop: &AtomicBool) -> Result<Counted> {
    let mut updates = Updates::default();
    let mut table: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let (mut heard, mut spoke, mut step) = (Instant::now(), Instant::now(), 0_u32);
    let mut stopping: Option<Instant> = None;
    loop {
        if stop.load(Ordering::Relaxed) && stopping.is_none() {
            stopping = Some(Instant::now());
        }
        // What is on its way when it is told to stop still counts.
        if stopping.is_some_and(|at| at.elapsed() > Duration::from_secs(2)) {
            return Ok(Counted { updates, table: table.into_keys().collect(), _session: raw });
        }
        if spoke.elapsed() > Duration::from_secs(2) {
            raw.send(4, &[])?;
            spoke = Instant::now();
        }
        if stopping.is_none() {
            change(&mut raw, step)?;
            step += 1;
        }
        for frame in raw.drain(Duration::from_millis(10))? {
            updates.longest_silence = updates.longest_silence.max(heard.elapsed());
            heard = Instant::now();
            match frame.kind {
                2 => {
                    updates.received += 1;
                    updates.repeated += apply(&mut table, &frame.body)?;
                }
                3 => {
                    updates.ended += 1;
                    return Ok(Counted { updates, table: BTreeSet::new(), _session: raw });
                }
                _ => {}
            }
        }
        if heard.elapsed() > Duration::from_secs(HELD) {
            updates.ended += 1;
            return Ok(Counted { updates, table: BTreeSet::new(), _session: raw });
        }
    }
}

/// One change of its own routes.
fn change(raw: &mut RawPeer, step: u32) -> Result<()> {
    let prefix = format!("10.200.{}.0/24", step % u32::from(OWN));
    if step % 3 == 2 {
        return raw.withdraw(&[&prefix]);
    }
    let next_hop = attribute(0x40, 3, &Ipv4Addr::new(10, 0, 4, 2).octets());
    let as_path = attribute(0x40, 2, &[2, 1, 0, 0, 0xfd, 0xec]);
    let med = attribute(0x80, 4, &step.to_be_bytes());
    raw.announce(&[attribute(0x40, 1, &[0]), as_path, next_hop, med], &[&prefix])
}

/// Applies an IPv4 UPDATE. Says how much of it was not news.
fn apply(table: &mut BTreeMap<String, Vec<u8>>, body: &[u8]) -> Result<u64> {
    let (withdrawn, rest) = field(body)?;
    let (attributes, announced) = field(rest)?;
    let mut repeated = 0;
    for prefix in prefixes(withdrawn)? {
        repeated += u64::from(table.remove(&prefix).is_none());
    }
    for prefix in prefixes(announced)? {
        let before = table.insert(prefix, attributes.to_vec());
        repeated += u64::from(before.as_deref() == Some(attributes));
    }
    Ok(repeated)
}

fn field(body: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk::<2>().context("a short UPDATE")?;
    rest.split_at_checked(u16::from_be_bytes(*length).into()).context("a short UPDATE")
}

fn prefixes(mut field: &[u8]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    while let Some((length, rest)) = field.split_first() {
        let octets = usize::from(length.div_ceil(8));
        let (prefix, rest) = rest.split_at_checked(octets).context("a short prefix")?;
        let mut address = [0; 4];
        address.get_mut(..octets).context("a long prefix")?.copy_from_slice(prefix);
        all.push(format!("{}/{length}", Ipv4Addr::from(address)));
        field = rest;
    }
    Ok(all)
}
