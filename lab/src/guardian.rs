//! The guardian: a small process that outlives a killed lab and cleans up in its place.
//!
//! It is a shell that waits on a pipe whose other end only the lab's process holds. A lab that ends in order says `done`
//! first. Any other end of that process, SIGKILL included, closes the pipe without that word, and the guardian kills all
//! processes in the lab's namespaces, deletes these and the lab's folder. A parent-death signal would not do: FRR's
//! daemons change their user, which clears it, and it follows the thread that started a child, not the process.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};

use crate::namespace::{FRR_SCRATCH, NETNS_DIR};

/// `$1`: prefix of the namespace names, `$2`: the lab's folder.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
IFS= read -r word
[ "$word" = done ] && exit 0
for path in "$NETNS_DIR/$1"*; do
    [ -e "$path" ] || continue
    name=${path##*/}
    for round in 1 2 3; do
        for pid in $(ip netns pids "$name"); do
            kill -9 "$pid"
            rm -rf "$FRR_SCRATCH"/*."$pid"
        done
        sleep 0.05
    done
    ip netns del "$name"
done
rmdir "$FRR_SCRATCH"
rm -rf "$2"
"#;

/// The lab's end of the pipe.
#[derive(Debug)]
pub(crate) struct Guardian {
    child: Child,
    pipe: ChildStdin,
}

impl Guardian {
    /// Starts the guardian of all namespaces whose names start with `prefix`, and of the folder.
    pub(crate) fn start(prefix: &str, folder: &Path) -> Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "rutter-lab-guardian", prefix])
            .arg(folder)
            .env("NETNS_DIR", NETNS_DIR)
            .env("FRR_SCRATCH", FRR_SCRATCH)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            // Its own group: Ctrl-C in the terminal ends the lab, not its guardian.
            .process_group(0)
            .spawn()
            .context("starting the lab's guardian (/bin/sh)")?;
        let pipe = child.stdin.take().context("the guardian has no stdin")?;
        Ok(Self { child, pipe })
    }

    /// The lab has cleaned up, or wants to stay: the guardian goes home.
    pub(crate) fn dismiss(mut self) {
        let _ = self.pipe.write_all(b"done\n");
        let _ = self.child.wait();
    }
}
