//! Handles that the core and its driver exchange instead of references.
//!
//! Invariants: a [`PeerId`] means the same neighbour for as long as any of its routes exist and is then not given out
//! again; a [`ConnId`] is never given out twice.

use std::fmt;

/// One configured neighbour.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u32);

impl PeerId {
    /// The handle with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer{}", self.0)
    }
}

/// One transport connection, or the attempt to make one.
///
/// The core numbers the connections it asks for ([`crate::Action::Connect`]) from zero; the driver numbers those it
/// accepted from [`ConnId::FIRST_ACCEPTED`].
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u64);

impl ConnId {
    /// The first number for connections that the driver accepted.
    pub const FIRST_ACCEPTED: Self = Self(1 << 63);

    /// The handle with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The handle after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.checked_sub(Self::FIRST_ACCEPTED.0) {
            Some(accepted) => write!(f, "accepted{accepted}"),
            None => write!(f, "dialed{}", self.0),
        }
    }
}
