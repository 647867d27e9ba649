//! Waiting for something to become true, with a deadline and an answer to "what was it instead".

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const FIRST_PAUSE: Duration = Duration::from_millis(30);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Calls `probe` until it is `Ok`, and fails with its last error once `within` has passed.
///
/// The probe's error is its description of what it saw, for example "neighbor 10.0.0.2 is in state Active".
pub fn wait_for<T>(within: Duration, what: &str, mut probe: impl FnMut() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(last) if begun.elapsed() >= within => {
                bail!("waited {:.1} s for {what}; last seen: {last:#}", begun.elapsed().as_secs_f64())
            }
            Err(_) => {}
        }
        thread::sleep(pause);
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn failure_tells_the_last_state() {
        let mut calls = 0;
        let error = wait_for::<()>(Duration::from_millis(80), "the end", || {
            calls += 1;
            Err(anyhow!("call {calls}"))
        })
        .unwrap_err();
        assert!(calls > 1);
        assert!(error.to_string().contains(&format!("last seen: call {calls}")), "{error}");
    }

    #[test]
    fn success_is_returned_at_once() {
        assert_eq!(wait_for(Duration::ZERO, "now", || Ok(7)).unwrap(), 7);
    }
}
