//! Intents of several owners and what they add up to.

pub mod merge;
pub mod store;

use std::cmp::Ordering;
use std::fmt;

/// The owner of the configuration file.
pub const FILE_OWNER: &str = "file";

/// Who wants something. `file` comes before all others, which follow by name: the first decides where two disagree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(String);

/// A name that cannot be an owner's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no owner name; use 1 to 63 letters, digits, `-`, `_` and `.`")]
pub struct InvalidOwner(String);

impl Owner {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidOwner`] if it is empty, too long or has other characters than letters, digits, `-`, `_`, `.`.
    pub fn new(name: &str) -> Result<Self, InvalidOwner> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if (1..=63).contains(&name.len()) && name.chars().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidOwner(name.to_owned()))
        }
    }

    /// The configuration file.
    #[must_use]
    pub fn file() -> Self {
        Self(FILE_OWNER.to_owned())
    }

    /// Whether this is the configuration file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.0 == FILE_OWNER
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialOrd for Owner {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Owner {
    fn cmp(&self, other: &Self) -> Ordering {
        other.is_file().cmp(&self.is_file()).then_with(|| self.0.cmp(&other.0))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
