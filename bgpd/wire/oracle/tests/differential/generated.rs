//! Messages that are nearly right, made at random.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;

use bgp_wire::{DecodeContext, PeerKind};
use bgp_wire_oracle::netgauze::{self, Structure};
use bgp_wire_oracle::{Class, ours, rustbgpd};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::disagreement;
use crate::message::{Attribute, Parts};

/// Lengths and flags the attribute types should have, for types that both codecs know.
const TYPES: &[(u8, u8, &[usize])] = &[
    (1, 0x40, &[1]),
    (2, 0x40, &[0, 6, 10, 14]),
    (3, 0x40, &[4]),
    (4, 0x80, &[4]),
    (5, 0x40, &[4]),
    (6, 0x40, &[0]),
    (7, 0xc0, &[8]),
    (8, 0xc0, &[4, 8]),
    (9, 0x80, &[4]),
    (10, 0x80, &[4, 8]),
    (14, 0x80, &[26, 42]),
    (15, 0x80, &[3, 8]),
    (16, 0xc0, &[8, 16]),
    (17, 0xc0, &[6]),
    (18, 0xc0, &[8]),
    (32, 0xc0, &[12, 24]),
    (99, 0xc0, &[3]),
];

fn value(code: u8, len: usize) -> BoxedStrategy<Vec<u8>> {
    let octets = prop::collection::vec(any::<u8>(), len);
    match code {
        1 => (prop::collection::vec(0..4_u8, len)).boxed(),
        2 | 17 => (octets, 0..12_u8)
            .prop_map(move |(mut octets, kind)| {
                if let [first, count, rest @ ..] = octets.as_mut_slice() {
                    *first = if kind < 6 { kind } else { 2 };
                    *count = u8::try_from(rest.len() / 4).unwrap_or(255);
                }
                octets
            })
            .boxed(),
        3 => (octets, any::<bool>())
            .prop_map(|(mut octets, odd)| {
                if let (Some(first), false) = (octets.first_mut(), odd) {
                    *first = 192;
                }
                octets
            })
            .boxed(),
        14 | 15 => (octets, 0..8_u8, 0..8_u8)
            .prop_map(move |(mut octets, odd, host)| {
                let head: &[u8] = match (code, len) {
                    (14, 42..) => &[0, 2, 1, 32],
                    (14, _) => &[0, 2, 1, 16],
                    _ => &[0, 2, 1],
                };
                if odd > 0 {
                    octets.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
                }
                if code == 14 && host > 0 {
                    octets.iter_mut().skip(4).zip([0x20, 1, 0x0d, 0xb8]).for_each(|(to, from)| *to = from);
                    octets
                        .iter_mut()
                        .skip(20)
                        .zip([0xfe, 0x80])
                        .filter(|_| len >= 36)
                        .for_each(|(to, from)| *to = from);
                }
                if odd > 1 {
                    let nlri = if code == 15 { 3 } else { 5 + usize::from(head[3]) };
                    let room = octets.len().saturating_sub(nlri + 1);
                    if let Some(prefix_len) = octets.get_mut(nlri) {
                        *prefix_len = u8::try_from(room * 8).unwrap_or(128);
                    }
                }
                octets
            })
            .boxed(),
        _ => octets.boxed(),
    }
}

fn attribute(code: u8, flags: u8, lens: &'static [usize]) -> BoxedStrategy<Attribute> {
    let flags = prop_oneof![
        20 => Just(flags),
        1 => prop::sample::select(vec![0x00, 0x20, 0x40, 0x60, 0x80, 0xa0, 0xc0, 0xe0]),
        1 => Just(flags | 0x10),
        1 => Just(flags | 0x20),
    ];
    let len = prop_oneof![15 => prop::sample::select(lens), 1 => 0..30_usize];
    (flags, len)
        .prop_flat_map(move |(flags, len)| {
            value(code, len).prop_map(move |value| Attribute { flags, code, value })
        })
        .boxed()
}

fn parts() -> BoxedStrategy<Parts> {
    let extra = prop::sample::select(TYPES).prop_flat_map(|(code, flags, lens)| attribute(code, flags, lens));
    let mandatory = |index: usize| {
        let (code, flags, lens) = TYPES[index];
        let good = Just(Some(Parts::plain(true).attributes[index].clone()));
        prop_oneof![20 => good, 3 => attribute(code, flags, lens).prop_map(Some), 1 => Just(None)]
    };
    let nlri = prop_oneof![
        6 => Just(vec![24, 198, 51, 100]),
        3 => Just(vec![]),
        1 => prop::collection::vec(any::<u8>(), 0..9),
    ];
    let withdrawn =
        prop_oneof![8 => Just(vec![]), 2 => Just(vec![8, 10]), 1 => prop::collection::vec(any::<u8>(), 0..5)];
    let stray = prop_oneof![20 => Just(vec![]), 1 => prop::collection::vec(any::<u8>(), 0..6)];
    ((mandatory(0), mandatory(1), mandatory(2)), prop::collection::vec(extra, 0..4), withdrawn, nlri, stray)
        .prop_map(|((origin, path, next_hop), extra, withdrawn, nlri, stray)| Parts {
            withdrawn,
            attributes: [origin, path, next_hop].into_iter().flatten().chain(extra).collect(),
            stray,
            nlri,
        })
        .boxed()
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        rng_seed: RngSeed::Fixed(7606),
        failure_persistence: None,
        ..Config::default()
    })
}

#[test]
fn rustbgpd_agrees_or_the_difference_is_known() {
    let met = RefCell::new(BTreeSet::new());
    let result = runner(12_000).run(&(parts(), any::<bool>()), |(parts, internal)| {
        let peer = if internal { PeerKind::Internal } else { PeerKind::External };
        let context = DecodeContext::new(peer);
        let frame = parts.frame();
        let (ours, theirs) = (ours::read(&frame, &context), rustbgpd::read(&frame, &context));
        if ours.class != theirs.class || ours.content != theirs.content {
            match disagreement::explain(&parts, &ours, &theirs) {
                Some(known) => met.borrow_mut().insert(known.what),
                None => return Err(fail(peer, &parts, &ours, &theirs)),
            };
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let listed: BTreeSet<_> = disagreement::KNOWN.iter().map(|known| known.what).collect();
    disagreement::KNOWN.iter().for_each(|known| println!("{}: {}", known.what, known.reason));
    assert_eq!(met.into_inner(), listed, "what is listed must still occur");
}

/// NetGauze sees structure only. What we take, it must read, and as the same values; what it reads and we refuse, we must
/// refuse for something it does not look at.
#[test]
fn netgauze_agrees_on_structure() {
    let result = runner(12_000).run(&parts(), |parts| {
        let context = DecodeContext::new(PeerKind::Internal);
        let frame = parts.frame();
        let (ours, theirs) = (ours::read(&frame, &context), netgauze::read(&frame, context.four_octet_as));
        let agree = match &theirs {
            Structure::Read(written) if ours.class == Class::Accept => {
                ours::read(written, &context).content == ours.content
            }
            Structure::Read(_) => ours
                .why
                .split("; ")
                .all(|fault| disagreement::NOT_STRUCTURE.iter().any(|phrase| fault.contains(phrase))),
            Structure::Malformed(_) | Structure::Unreadable(_) => ours.class > Class::Accept,
        };
        if agree || disagreement::beyond_netgauze(&parts, &ours) {
            Ok(())
        } else {
            Err(fail(context.peer, &parts, &ours, &theirs))
        }
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn fail(peer: PeerKind, parts: &Parts, ours: &impl Debug, theirs: &impl Debug) -> TestCaseError {
    TestCaseError::fail(format!("{peer:?} peer\nours:   {ours:?}\ntheirs: {theirs:?}\n{parts:?}"))
}
