//! The oracle: what another daemon says about rutter, and how tests ask for it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rutter_lab::wait_for;

use crate::seen::{SeenPath, Session};
use crate::star::PATIENCE;

/// A daemon whose show output is the truth of a test.
pub trait Oracle {
    /// Which daemon this is, for messages.
    fn kind(&self) -> &'static str;

    /// What it shows of this neighbour.
    fn session(&self, neighbor: IpAddr) -> Result<Session>;

    /// Whether these are the same incarnation of a session.
    fn same_incarnation(&self, before: &Session, now: &Session) -> bool {
        before.incarnation == now.incarnation
    }

    /// All paths it has to this prefix, usable or not.
    fn paths(&self, prefix: &str) -> Result<Vec<SeenPath>>;

    /// Waits until the session with `neighbor` is established, and returns it.
    fn wait_established(&self, neighbor: &str) -> Result<Session> {
        let address = parse(neighbor)?;
        wait_for(PATIENCE, &format!("{} to establish its session with {neighbor}", self.kind()), || {
            let session = self.session(address)?;
            ensure!(session.established, "{session:?}");
            Ok(session)
        })
    }

    /// Waits until the session with `neighbor` is down, and returns what the daemon says about it.
    fn wait_down(&self, neighbor: &str, within: Duration) -> Result<Session> {
        let address = parse(neighbor)?;
        wait_for(within, &format!("{} to lose its session with {neighbor}", self.kind()), || {
            let session = self.session(address)?;
            ensure!(!session.established, "{session:?}");
            Ok(session)
        })
    }

    /// Waits until the prefix has exactly one path, and returns it.
    fn wait_path(&self, prefix: &str) -> Result<SeenPath> {
        wait_for(PATIENCE, &format!("{} to see one path to {prefix}", self.kind()), || {
            let mut paths = self.paths(prefix)?;
            match (paths.pop(), paths.is_empty()) {
                (Some(path), true) => Ok(path),
                (last, _) => Err(anyhow!("{paths:?} {last:?}")),
            }
        })
    }

    /// Waits until the one path to the prefix satisfies `accept`, and returns it.
    fn wait_path_that(&self, prefix: &str, accept: &dyn Fn(&SeenPath) -> bool) -> Result<SeenPath> {
        wait_for(PATIENCE, &format!("{} to see the expected path to {prefix}", self.kind()), || {
            let paths = self.paths(prefix)?;
            match paths.as_slice() {
                [path] if accept(path) => Ok(path.clone()),
                _ => Err(anyhow!("{paths:?}")),
            }
        })
    }

    /// Waits until the daemon has no path to the prefix.
    fn wait_gone(&self, prefix: &str) -> Result<()> {
        wait_for(PATIENCE, &format!("{} to lose {prefix}", self.kind()), || {
            let paths = self.paths(prefix)?;
            ensure!(paths.is_empty(), "{paths:?}");
            Ok(())
        })
    }

    /// Fails if the prefix shows up within `period`: a refusal is only believed after some patience.
    fn ensure_absent_for(&self, prefix: &str, period: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < period {
            let paths = self.paths(prefix)?;
            if !paths.is_empty() {
                bail!("{} must not see {prefix}, but shows {paths:?}", self.kind());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Fails if the session with `neighbor` is another one than `before`.
    fn ensure_same_session(&self, neighbor: &str, before: &Session) -> Result<()> {
        let now = self.session(parse(neighbor)?)?;
        ensure!(
            now.established && self.same_incarnation(before, &now),
            "{} saw the session with {neighbor} end: before {before:?}, now {now:?}",
            self.kind()
        );
        Ok(())
    }
}

fn parse(address: &str) -> Result<IpAddr> {
    address.parse().with_context(|| format!("`{address}` is no address"))
}
