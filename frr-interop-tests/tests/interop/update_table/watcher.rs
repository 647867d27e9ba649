//! A clean peer: it takes what bgpd sends and keeps it as octets.
//!
//! The parser is the test's own and knows only what a correct speaker sends; anything else is a failed test.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{NOTIFICATION, RawPeer, UPDATE};

/// A route as received: flags, code and value of each attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route(Vec<(u8, u8, Vec<u8>)>);

impl Route {
    pub(super) fn has(&self, code: u8) -> bool {
        self.value(code).is_some()
    }

    pub(super) fn value(&self, code: u8) -> Option<&[u8]> {
        self.0.iter().find(|attribute| attribute.1 == code).map(|attribute| attribute.2.as_slice())
    }

    pub(super) fn flags(&self, code: u8) -> Option<u8> {
        self.0.iter().find(|attribute| attribute.1 == code).map(|attribute| attribute.0 & 0xe0)
    }
}

/// One clean peer and the routes it has, by their NLRI (the lengths tell the families apart: the test's IPv4 prefixes
/// have 24 bits or fewer, the IPv6 ones more).
pub(super) struct Watcher {
    peer: RawPeer,
    routes: HashMap<Vec<u8>, Route>,
}

impl Watcher {
    pub(super) fn new(peer: RawPeer) -> Self {
        Self { peer, routes: HashMap::new() }
    }

    pub(super) fn route(&self, prefix: &[u8]) -> Option<&Route> {
        self.routes.get(prefix)
    }

    /// Reads until nothing came for `quiet`.
    pub(super) fn read(&mut self, quiet: Duration) -> Result<()> {
        for frame in self.peer.drain(quiet)? {
            ensure!(frame.kind != NOTIFICATION, "a clean peer got NOTIFICATION {:?}", frame.body);
            if frame.kind == UPDATE {
                self.update(&frame.body).with_context(|| format!("UPDATE {:02x?}", frame.body))?;
            }
        }
        Ok(())
    }

    /// Reads until all these prefixes are there; gives back how many are not.
    pub(super) fn wait(&mut self, prefixes: &[Vec<u8>], within: Duration) -> Result<usize> {
        let deadline = Instant::now() + within;
        loop {
            self.read(Duration::from_millis(20))?;
            let missing = prefixes.iter().filter(|prefix| !self.routes.contains_key(*prefix)).count();
            if missing == 0 || Instant::now() > deadline {
                return Ok(missing);
            }
        }
    }

    fn update(&mut self, body: &[u8]) -> Result<()> {
        let (withdrawn, rest) = field(body)?;
        let (mut octets, nlri) = field(rest)?;
        let (mut attributes, mut reach, mut unreach) = (Vec::new(), &[][..], &[][..]);
        while let [flags, code, rest @ ..] = octets {
            let (length, rest) = match rest {
                [high, low, rest @ ..] if flags & 0x10 != 0 => {
                    (usize::from(u16::from_be_bytes([*high, *low])), rest)
                }
                [length, rest @ ..] => (usize::from(*length), rest),
                [] => anyhow::bail!("an attribute without length"),
            };
            let (value, rest) = rest.split_at_checked(length).context("an attribute overruns")?;
            octets = rest;
            match code {
                14 => {
                    let next_hop = usize::from(*value.get(3).context("MP_REACH_NLRI is short")?);
                    reach = value.get(5 + next_hop..).context("MP_REACH_NLRI is short")?;
                    attributes.push((*flags, *code, value[..4 + next_hop].to_vec()));
                }
                15 => unreach = value.get(3..).context("MP_UNREACH_NLRI is short")?,
                _ => attributes.push((*flags, *code, value.to_vec())),
            }
        }
        for prefix in prefixes(withdrawn)?.into_iter().chain(prefixes(unreach)?) {
            self.routes.remove(&prefix);
        }
        for prefix in prefixes(nlri)?.into_iter().chain(prefixes(reach)?) {
            self.routes.insert(prefix, Route(attributes.clone()));
        }
        Ok(())
    }
}

fn field(octets: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk().context("a field without length")?;
    rest.split_at_checked(u16::from_be_bytes(*length).into()).context("a field overruns")
}

fn prefixes(mut octets: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut list = Vec::new();
    while let Some(length) = octets.first() {
        let (prefix, rest) =
            octets.split_at_checked(1 + usize::from(*length).div_ceil(8)).context("a prefix overruns")?;
        list.push(prefix.to_vec());
        octets = rest;
    }
    Ok(list)
}
