//! Random programs of edits against a model of the API server, with two operators and every kind of trouble on the way.
//! What has to hold is judged by an oracle of its own, which is slow and reads the contract, not the allocator.
//!
//! ```text
//! cargo test -p lbipam --test programs                                     1,000 seeds
//! LBIPAM_SEEDS=0..100000 cargo test -p lbipam --test programs              more
//! LBIPAM_SEEDS=4711 cargo test -p lbipam --test programs -- --nocapture    one, and what happened in it
//! ```
//!
//! | file | what |
//! |---|---|
//! | `step`, `program` | what can happen; a program from a seed |
//! | `server` | a model of the API server |
//! | `replica` | an operator's view of it |
//! | `world` | the two together, step by step |
//! | `oracle`, `check`, `counts` | what has to hold |
//!
//! Invariant: a failure is a seed and the shortest program that still fails in the same way.

mod check;
mod counts;
mod dice;
mod oracle;
mod program;
mod replica;
mod server;
mod step;
mod world;

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};

use lbipam::{DefaultIpam, Settings};

use crate::check::Fault;
use crate::dice::Dice;
use crate::step::Step;
use crate::world::World;

/// Seeds of a plain run.
const SEEDS: u64 = 1_000;

#[test]
fn random_programs_hold_the_invariants() {
    let wanted = std::env::var("LBIPAM_SEEDS").ok();
    let seeds = seeds(wanted.as_deref());
    let tell = seeds.end - seeds.start == 1;
    // A panic is a fault like others; it is told with the program.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    // Of each kind of fault the first seed, and how many there are.
    let mut failed: BTreeMap<&'static str, (u64, usize)> = BTreeMap::new();
    for seed in seeds.clone() {
        let (settings, steps) = from_seed(seed);
        let (outcome, trace) = run(&settings, &steps, seed);
        if tell {
            println!("{settings:?}\n{trace}");
        }
        if let Err(fault) = outcome {
            failed.entry(fault.kind).or_insert((seed, 0)).1 += 1;
        }
    }
    let told: Vec<String> =
        failed.into_iter().map(|(kind, (seed, count))| tell_of(kind, seed, count)).collect();
    panic::set_hook(hook);
    assert!(told.is_empty(), "{}", told.join("\n\n"));
}

/// The shortest program that has the fault, and what happens in it.
fn tell_of(kind: &str, seed: u64, count: usize) -> String {
    let (settings, steps) = from_seed(seed);
    let steps = cut_down(&settings, steps, seed, kind);
    let (outcome, trace) = run(&settings, &steps, seed);
    let what = outcome.err().map(|fault| fault.what).unwrap_or_default();
    format!("{kind} ({count} seeds, the first is {seed}): {what}\n{settings:?}\n{trace}")
}

fn seeds(wanted: Option<&str>) -> std::ops::Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("LBIPAM_SEEDS is a number or FIRST..END");
    match wanted.map(|text| (text, text.split_once(".."))) {
        None => 0..SEEDS,
        Some((_, Some((first, end)))) => number(first)..number(end),
        Some((text, None)) => number(text)..number(text) + 1,
    }
}

fn from_seed(seed: u64) -> (Settings, Vec<Step>) {
    let mut dice = Dice::new(seed);
    let mut settings = Settings::default();
    if dice.chance(20) {
        settings.ipv6 = false;
    }
    if dice.chance(10) {
        settings.default_ipam = DefaultIpam::None;
    }
    if dice.chance(10) {
        settings.l2_class = false;
    }
    let steps = program::program(&mut dice);
    (settings, steps)
}

/// What became of a program, and what happened in it.
fn run(settings: &Settings, steps: &[Step], seed: u64) -> (Result<(), Fault>, String) {
    let mut world = World::new(settings.clone(), seed);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| world.run(steps)));
    let outcome = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Fault { kind: "panic", what: text.unwrap_or_default() })
    });
    (outcome, world.trace)
}

/// Leaves out steps as long as it still fails in the same way.
fn cut_down(settings: &Settings, mut steps: Vec<Step>, seed: u64, kind: &str) -> Vec<Step> {
    let fails = |steps: &[Step]| run(settings, steps, seed).0.is_err_and(|fault| fault.kind == kind);
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(steps.len()));
            if fails(&fewer) {
                steps = fewer;
                shorter = true;
            } else {
                at += size;
            }
        }
        if !shorter || size > 1 {
            size /= 2;
        }
    }
    steps
}

#[test]
fn a_program_is_cut_down_to_what_matters() {
    let steps: Vec<Step> = (0..20).map(Step::Pass).collect();
    let (settings, seed) = (Settings::default(), 0);
    assert_eq!(cut_down(&settings, steps.clone(), seed, "never"), steps);
    assert!(run(&settings, &steps, seed).0.is_ok());
}
