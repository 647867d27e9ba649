//! Random programs, each from one seed.
//!
//! Invariant: a program is decided before it runs; running it rolls no dice that change what happens.

use crate::dice::Dice;
use crate::step::{
    AUTO_ASSIGN, BAD_BLOCKS, BLOCKS, CLASSES, CROSS, FAMILIES, Fate, INHERITED, KEEP, KEYS, LABELS,
    POOL_NAMES, POOLS, PORTS, PRIORITIES, PoolEdit, PoolSpec, QUOTAS, REQUESTS, SELECTORS, SERVICES,
    ServiceEdit, ServiceSpec, Step,
};

/// The program of a seed.
pub(crate) fn program(dice: &mut Dice) -> Vec<Step> {
    let mut steps = Vec::new();
    // Some worlds are simple, so that much is shared and little is refused.
    let simple = dice.chance(30);
    let extras = dice.chance(20);
    for _ in 0..1 + dice.below(3) {
        steps.push(Step::Pools(vec![put(dice, simple)]));
    }
    for _ in 0..dice.below(6) {
        let slot = dice.below(SERVICES);
        steps.push(Step::Service(slot, ServiceEdit::Create(service(dice, simple))));
        if dice.chance(30) {
            let inherited = (0..1 + dice.below(2)).map(|_| dice.below(INHERITED.len())).collect::<Vec<_>>();
            let mut distinct = inherited;
            distinct.dedup();
            steps.push(Step::Service(slot, ServiceEdit::Inherit(distinct)));
        }
    }
    steps.push(Step::Lead(0));
    let count = 10 + dice.below(50);
    for _ in 0..count {
        let step = if extras && dice.chance(20) { extra(dice) } else { step(dice, simple) };
        steps.push(step);
    }
    steps
}

/// What only rutter has.
fn extra(dice: &mut Dice) -> Step {
    match dice.below(7) {
        0 | 1 => Step::Reserve(dice.below(SERVICES), dice.below(INHERITED.len())),
        2 => Step::Unreserve(dice.below(SERVICES)),
        3 | 4 => Step::Pools(vec![PoolEdit::Quota(dice.below(POOLS), maybe(dice, 70, QUOTAS.len()))]),
        _ => Step::Service(dice.below(SERVICES), ServiceEdit::Keep(maybe(dice, 70, KEEP.len()))),
    }
}

fn step(dice: &mut Dice, simple: bool) -> Step {
    match dice.below(100) {
        0..14 => Step::Pools(pool_edits(dice, simple)),
        14..44 => Step::Service(dice.below(SERVICES), service_edit(dice, simple)),
        44..50 => Step::Pass(dice.pick(&[1, 1, 10, 29, 31])),
        50..68 => Step::Deliver {
            to: dice.below(2),
            pools: dice.chance(50),
            services: u16::try_from(dice.below(1 << SERVICES)).unwrap_or_default(),
            all: dice.chance(50),
        },
        68..86 => Step::Act(fates(dice)),
        86..88 => Step::Peek(dice.below(2)),
        88..91 => Step::Land,
        91..94 => Step::Lead(dice.below(2)),
        94..96 => Step::Restart(dice.below(2)),
        _ => Step::Settle,
    }
}

fn fates(dice: &mut Dice) -> Vec<Fate> {
    if dice.chance(60) {
        return vec![Fate::Done];
    }
    (0..1 + dice.below(4))
        .map(|_| dice.pick(&[Fate::Done, Fate::Failed, Fate::AnswerLost, Fate::Late]))
        .collect()
}

fn put(dice: &mut Dice, simple: bool) -> PoolEdit {
    PoolEdit::Put { pool: dice.below(POOLS), spec: pool(dice, simple) }
}

fn pool(dice: &mut Dice, simple: bool) -> PoolSpec {
    let count = dice.pick(&[0, 1, 1, 1, 2, 2, 3]);
    PoolSpec {
        blocks: (0..count).map(|_| block(dice, simple)).collect(),
        selector: if simple { dice.pick(&[0, 0, 3]) } else { dice.below(SELECTORS) },
        edges: dice.pick(&[None, None, Some(true), Some(false)]),
        disabled: !simple && dice.chance(10),
        priority: maybe(dice, if simple { 0 } else { 30 }, PRIORITIES.len()),
        auto_assign: maybe(dice, if simple { 0 } else { 15 }, AUTO_ASSIGN.len()),
    }
}

fn block(dice: &mut Dice, simple: bool) -> usize {
    if simple || dice.chance(85) {
        dice.below(BLOCKS.len() - BAD_BLOCKS)
    } else {
        BLOCKS.len() - BAD_BLOCKS + dice.below(BAD_BLOCKS)
    }
}

fn pool_edits(dice: &mut Dice, simple: bool) -> Vec<PoolEdit> {
    let count = dice.pick(&[1, 1, 1, 2]);
    (0..count).map(|_| pool_edit(dice, simple)).collect()
}

fn pool_edit(dice: &mut Dice, simple: bool) -> PoolEdit {
    let (one, other) = (dice.below(POOLS), dice.below(POOLS));
    match dice.below(10) {
        0 | 1 => put(dice, simple),
        2 => PoolEdit::Delete(one),
        3 => PoolEdit::Disable(one, dice.chance(50)),
        4 => PoolEdit::Edges(one, dice.pick(&[None, Some(true), Some(false)])),
        5 => PoolEdit::Select(one, dice.below(SELECTORS)),
        6 => PoolEdit::Blocks(one, (0..1 + dice.below(2)).map(|_| block(dice, simple)).collect()),
        7 => PoolEdit::Rename { from: one, to: other },
        8 => PoolEdit::Split { from: one, to: other, at: dice.below(3) },
        _ => PoolEdit::Merge { from: one, to: other },
    }
}

fn maybe(dice: &mut Dice, percent: usize, end: usize) -> Option<usize> {
    dice.chance(percent).then(|| dice.below(end))
}

fn service(dice: &mut Dice, simple: bool) -> ServiceSpec {
    ServiceSpec {
        label: maybe(dice, 60, LABELS.len()),
        families: if simple { dice.pick(&[0, 0, 1, 2]) } else { dice.below(FAMILIES) },
        ip: maybe(dice, if simple { 5 } else { 15 }, REQUESTS.len()),
        ips: maybe(dice, 15, REQUESTS.len()),
        key: maybe(dice, 50, if simple { 1 } else { KEYS.len() }),
        cross: maybe(dice, 40, if simple { 1 } else { CROSS.len() }),
        ports: dice.below(PORTS.len()),
        local: dice.chance(if simple { 5 } else { 20 }),
        selector: maybe(dice, 60, LABELS.len()),
        class: if simple { 0 } else { dice.pick(&[0, 0, 0, 1, 2, 3]) },
        from_pool: maybe(dice, if simple { 0 } else { 10 }, POOL_NAMES.len()),
    }
}

fn service_edit(dice: &mut Dice, simple: bool) -> ServiceEdit {
    match dice.below(27) {
        0..7 => ServiceEdit::Create(service(dice, simple)),
        7 | 8 => ServiceEdit::Delete,
        9 => ServiceEdit::Recreate,
        10 | 11 => ServiceEdit::Label(maybe(dice, 70, LABELS.len())),
        12 => ServiceEdit::Families(dice.below(FAMILIES)),
        13 => ServiceEdit::Ip(maybe(dice, 50, REQUESTS.len())),
        14 | 15 => ServiceEdit::Ips(maybe(dice, 60, REQUESTS.len())),
        16 | 17 => ServiceEdit::Key(maybe(dice, 70, KEYS.len())),
        18 => ServiceEdit::Cross(maybe(dice, 60, CROSS.len())),
        19 => ServiceEdit::Ports(dice.below(PORTS.len())),
        20 => ServiceEdit::Local(dice.chance(50)),
        21 => ServiceEdit::Selector(maybe(dice, 70, LABELS.len())),
        22 => ServiceEdit::Away,
        23 => ServiceEdit::Back(dice.below(CLASSES.len())),
        24 => ServiceEdit::Touch,
        25 => ServiceEdit::FromPool(maybe(dice, 50, POOL_NAMES.len())),
        _ => ServiceEdit::PortStatus,
    }
}
