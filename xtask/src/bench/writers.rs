//! Requests to the API server, several at once: how a bench makes its objects and changes them.
//!
//! Invariant: the first answer that is no success ends its writer and is what the caller gets; nothing is passed over.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use rutter_lab::kube::ControlPlane;

/// Connections that write at the same time.
const WRITERS: u32 = 6;

/// Makes one request (method, target, body) per number of a range. How long all of them took.
pub(super) fn with_each(
    cluster: &ControlPlane,
    numbers: Range<u32>,
    request: impl Fn(u32) -> (&'static str, String, Option<String>) + Sync,
) -> Result<Duration> {
    let (next, failure) = (AtomicU32::new(numbers.start), Mutex::new(None));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let work = || -> Result<()> {
                    let mut connection = cluster.connection()?;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= numbers.end {
                            return Ok(());
                        }
                        let (method, target, body) = request(number);
                        let reply = connection.request(method, &target, body.as_deref())?;
                        ensure!(reply.status < 300, "{method} {target}: {}", reply.body);
                    }
                };
                if let (Err(error), Ok(mut failure)) = (work(), failure.lock()) {
                    failure.get_or_insert(error);
                }
            });
        }
    });
    let failure = failure.into_inner().map_err(|_poisoned| anyhow!("a writer panicked"))?;
    failure.map_or_else(|| Ok(begun.elapsed()), Err)
}
