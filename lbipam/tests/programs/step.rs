//! What happens in a program, as values: a program can be printed, cut down and run again.
//!
//! Invariant: every step can be taken in every world. What it talks about may be missing; then nothing happens. So any part
//! of a program is a program.

use std::fmt;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Edits of pools that one `kubectl apply` makes: nobody sees the states between them.
    Pools(Vec<PoolEdit>),
    /// An edit of a Service.
    Service(usize, ServiceEdit),
    /// An address is reserved for a Service (positions in [`NAMES`] and [`INHERITED`]).
    Reserve(usize, usize),
    /// That of a Service no more.
    Unreserve(usize),
    /// Seconds pass.
    Pass(i64),
    /// A replica's watches bring something.
    Deliver { to: usize, pools: bool, services: u16, all: bool },
    /// The leader plans and writes; the fates are those of its writes, one after the other, again and again.
    Act(Vec<Fate>),
    /// One who does not lead plans, and writes nothing.
    Peek(usize),
    /// Writes that were under way reach the server.
    Land,
    /// The Lease changes hands.
    Lead(usize),
    /// A replica starts anew.
    Restart(usize),
    /// No trouble any more until everything is written; then all must be right.
    Settle,
}

/// What becomes of one write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Done,
    /// Refused by a server in trouble.
    Failed,
    /// Applied, and nobody was told.
    AnswerLost,
    /// On its way when the writer froze. It lands later, whoever leads by then.
    Late,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PoolEdit {
    Put {
        pool: usize,
        spec: PoolSpec,
    },
    Delete(usize),
    Disable(usize, bool),
    /// `rutter.dev/quota`, a position in [`QUOTAS`].
    Quota(usize, Option<usize>),
    Edges(usize, Option<bool>),
    Select(usize, usize),
    Blocks(usize, Vec<usize>),
    /// Gone and there again under another name, in one go or (two steps) with a pause.
    Rename {
        from: usize,
        to: usize,
    },
    /// The blocks from `at` on become another pool's.
    Split {
        from: usize,
        to: usize,
        at: usize,
    },
    /// All blocks of one become another's.
    Merge {
        from: usize,
        to: usize,
    },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PoolSpec {
    /// Positions in [`BLOCKS`].
    pub(crate) blocks: Vec<usize>,
    /// A position in [`SELECTORS`].
    pub(crate) selector: usize,
    /// `allowFirstLastIPs`.
    pub(crate) edges: Option<bool>,
    pub(crate) disabled: bool,
    /// A position in [`PRIORITIES`].
    pub(crate) priority: Option<usize>,
    /// `rutter.dev/auto-assign`, a position in [`AUTO_ASSIGN`].
    pub(crate) auto_assign: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ServiceEdit {
    Create(ServiceSpec),
    Delete,
    /// Deleted and created anew, with a new uid.
    Recreate,
    Label(Option<usize>),
    Families(usize),
    /// `spec.loadBalancerIP`, a position in [`REQUESTS`].
    Ip(Option<usize>),
    /// The annotation with addresses, a position in [`REQUESTS`].
    Ips(Option<usize>),
    Key(Option<usize>),
    Cross(Option<usize>),
    Ports(usize),
    Local(bool),
    Selector(Option<usize>),
    /// `rutter.dev/pool`, a position in [`POOL_NAMES`].
    FromPool(Option<usize>),
    /// `rutter.dev/reservation-grace`, a position in [`KEEP`].
    Keep(Option<usize>),
    /// No LoadBalancer any more.
    Away,
    /// A LoadBalancer again, with a class of [`CLASSES`].
    Back(usize),
    /// Something that is none of our business.
    Touch,
    /// Somebody writes the state of a port into each entry of the ingress.
    PortStatus,
    /// What was written before anybody here looked.
    Inherit(Vec<usize>),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServiceSpec {
    pub(crate) label: Option<usize>,
    pub(crate) families: usize,
    pub(crate) ip: Option<usize>,
    pub(crate) ips: Option<usize>,
    pub(crate) key: Option<usize>,
    pub(crate) cross: Option<usize>,
    pub(crate) ports: usize,
    pub(crate) local: bool,
    pub(crate) selector: Option<usize>,
    pub(crate) class: usize,
    pub(crate) from_pool: Option<usize>,
}

/// `cidr`, `start`, `stop`.
pub(crate) type Block = (Option<&'static str>, Option<&'static str>, Option<&'static str>);

/// The last [`BAD_BLOCKS`] of them are no blocks.
pub(crate) const BLOCKS: &[Block] = &[
    (Some("10.0.0.0/30"), None, None),
    (Some("10.0.0.4/30"), None, None),
    (Some("10.0.0.0/29"), None, None),
    (Some("10.0.0.14/30"), None, None),
    (Some("10.0.0.16/31"), None, None),
    (Some("10.0.0.18/32"), None, None),
    (Some("fd00::/126"), None, None),
    (Some("fd00::4/127"), None, None),
    (Some("fd00:1::/64"), None, None),
    (None, Some("10.0.0.2"), Some("10.0.0.5")),
    (None, Some("10.0.0.20"), Some("10.0.0.21")),
    (None, Some("10.0.0.22"), None),
    (None, Some("10.0.0.0"), Some("10.0.0.3")),
    (None, Some("fd00::2"), Some("fd00::6")),
    (None, Some("fd00::9"), None),
    (Some("10.0.0.24/30"), Some("no address"), Some("10.0.0.1")),
    // No blocks.
    (Some("010.0.0.0/30"), None, None),
    (Some("::ffff:10.0.0.0/126"), None, None),
    (Some("10.0.0.0/33"), None, None),
    (None, Some("10.0.0.5"), Some("10.0.0.2")),
    (None, Some("10.0.0.2"), Some("fd00::2")),
    (None, None, Some("10.0.0.2")),
    (None, None, None),
    (None, Some("ten"), None),
];
pub(crate) const BAD_BLOCKS: usize = 8;

/// How pools select: see [`crate::oracle::selects`].
pub(crate) const SELECTORS: usize = 8;

/// `ipFamilies` and `ipFamilyPolicy` as the API server may have them.
pub(crate) const FAMILIES: usize = 7;

pub(crate) const REQUESTS: &[&str] = &[
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.5",
    "10.0.0.12",
    "10.0.0.20",
    "fd00::1",
    "fd00::3",
    "fd00:1::7",
    "192.0.2.1",
    "10.0.0.2,fd00::3",
    " 10.0.0.1 , 10.0.0.6 ",
    "10.0.0.3,10.0.0.3",
    "10.0.0.0",
    "",
    "ten",
    "10.0.0.1,ten",
    "10.0.0.01",
    "::ffff:10.0.0.1",
];

pub(crate) const PRIORITIES: &[&str] = &["-1", "0", "7", "first"];
pub(crate) const AUTO_ASSIGN: &[&str] = &["false", "true", "maybe"];
pub(crate) const POOL_NAMES: &[&str] = &["p0", "p1, p2", "p9"];
pub(crate) const QUOTAS: &[&str] = &["*=1", "red=1, *=2", "blue=0", "*=many"];
pub(crate) const KEEP: &[&str] = &["20s", "1h", "soon"];
pub(crate) const KEYS: &[&str] = &["k", "l", ""];
pub(crate) const CROSS: &[&str] = &["*", "red", "blue, red", "green,blue", ""];
pub(crate) const PORTS: &[&[(u16, &str)]] = &[
    &[(80, "TCP")],
    &[(81, "TCP")],
    &[(80, "UDP")],
    &[(82, "TCP"), (83, "TCP")],
    &[(80, "TCP"), (84, "SCTP")],
];
pub(crate) const LABELS: &[&str] = &["a", "b"];
pub(crate) const CLASSES: &[Option<&str>] =
    &[None, Some("io.cilium/bgp-control-plane"), Some("io.cilium/l2-announcer"), Some("example.com/other")];
pub(crate) const NAMESPACES: &[&str] = &["red", "blue", "green"];
pub(crate) const NAMES: &[&str] = &["a", "b", "c", "d"];
/// How many Services there can be.
pub(crate) const SERVICES: usize = 12;
/// How many pools there can be.
pub(crate) const POOLS: usize = 5;
/// Addresses that somebody else may have given before.
pub(crate) const INHERITED: &[&str] =
    &["10.0.0.1", "10.0.0.0", "10.0.0.5", "10.0.0.22", "fd00::2", "fd00:1::", "192.0.2.9", "10.0.0.3"];

impl Step {
    /// Whether it is about what only rutter has: quotas and reservations, which keep addresses from some.
    pub(crate) fn is_extra(&self) -> bool {
        match self {
            Self::Reserve(..) | Self::Service(_, ServiceEdit::Keep(_)) => true,
            Self::Pools(edits) => edits.iter().any(|edit| matches!(edit, PoolEdit::Quota(..))),
            _ => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(slot, edit) => write!(f, "Service({}, {edit:?})", name(*slot)),
            other => write!(f, "{other:?}"),
        }
    }
}

/// How a Service is called in what people read.
pub(crate) fn name(slot: usize) -> String {
    format!("{}/{}", NAMESPACES[slot / NAMES.len()], NAMES[slot % NAMES.len()])
}
