//! A program that runs on a host in the foreground, and what tests do to it: kill, freeze, start again.
//!
//! Invariant: at most one process per daemon; it is killed and reaped when the handle is dropped.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::Host;
use crate::namespace::remove_frr_scratch;
use crate::wait::wait_for;

/// One program with its arguments, its log file and, while it runs, its process.
#[derive(Debug)]
pub struct Daemon {
    host: Host,
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Daemon {
    pub(crate) fn new(host: &Host, name: &str, program: &Path, args: Vec<OsString>) -> Self {
        Self {
            host: host.clone(),
            name: name.to_owned(),
            program: program.to_owned(),
            args,
            log: host.log_path(name),
            child: Mutex::new(None),
        }
    }

    /// Starts the process; standard output and error are appended to the log.
    pub fn start(&self) -> Result<()> {
        let mut child = self.child();
        ensure!(child.is_none(), "{} is already running", self.name);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("opening {}", self.log.display()))?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::from(File::try_clone(&log)?))
            .stderr(Stdio::from(log))
            // Ctrl-C goes to the lab, which decides what happens to its daemons.
            .process_group(0);
        *child = Some(self.host.spawn_child(&mut command)?);
        Ok(())
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Result<u32> {
        self.child().as_ref().map(Child::id).with_context(|| format!("{} is not running", self.name))
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()?)?);
        kill(pid, signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// Kills the process as a crash would (SIGKILL) and waits until it has gone.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.reap(Duration::from_secs(5)).map(drop)
    }

    /// Asks the process to end (SIGTERM) and waits until it has, at most `within`.
    pub fn terminate(&self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.reap(within)
    }

    /// The exit status, if the process has ended by itself; an error while it runs.
    pub fn ended(&self) -> Result<ExitStatus> {
        let mut slot = self.child();
        let child = slot.as_mut().with_context(|| format!("{} is not running", self.name))?;
        let id = child.id();
        let status = child.try_wait()?.ok_or_else(|| anyhow!("process {id} still runs"))?;
        slot.take();
        remove_scratch(id);
        Ok(status)
    }

    /// Freezes the process (SIGSTOP): its sockets stay open, nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Wakes a frozen process (SIGCONT).
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Fails, with the end of the log, if the process has ended by itself.
    pub fn ensure_running(&self) -> Result<()> {
        let status = match self.child().as_mut() {
            None => bail!("{} is not running", self.name),
            Some(child) => child.try_wait()?,
        };
        match status {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself ({status}); its log:\n{}", self.name, self.log()),
        }
    }

    /// Everything the process has printed so far, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Waits until `ready` says so; gives up at once when the process ends.
    pub(crate) fn wait_ready(&self, within: Duration, mut ready: impl FnMut() -> Result<()>) -> Result<()> {
        let mut ended = None;
        let what = format!("{} on {} to be ready", self.name, self.host.name());
        wait_for(within, &what, || {
            if let Err(error) = self.ensure_running() {
                ended = Some(error);
                return Ok(());
            }
            ready()
        })
        .map_err(|error| error.context(self.log()))?;
        ended.map_or(Ok(()), Err)
    }

    /// Lets the process run on when this handle is dropped.
    pub fn leave_running(self) {
        self.child().take();
    }

    fn reap(&self, within: Duration) -> Result<ExitStatus> {
        let mut slot = self.child();
        let child = slot.as_mut().with_context(|| format!("{} is not running", self.name))?;
        let id = child.id();
        let status = wait_for(within, &format!("{} to end", self.name), || {
            child.try_wait()?.ok_or_else(|| anyhow!("process {id} still runs"))
        })?;
        slot.take();
        remove_scratch(id);
        Ok(status)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.kill();
            let _ = child.wait();
            remove_scratch(child.id());
        }
    }
}

fn remove_scratch(id: u32) {
    if let Ok(pid) = i32::try_from(id) {
        remove_frr_scratch(Pid::from_raw(pid));
    }
}
