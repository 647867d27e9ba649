//! Standard output.
//!
//! Invariant: a reader that stops early (`| head`) is no error.

use std::io::{self, Write};

/// Prints a text as it is.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
