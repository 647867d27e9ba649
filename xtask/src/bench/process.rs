//! What the kernel says about a process.

use std::fs;

use anyhow::{Context, Result};

/// User and system time of all threads, dead ones included.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces; the numbers come after the last parenthesis.
    let numbers = stat.rsplit(')').next().context("an empty stat file")?;
    let fields: Vec<&str> = numbers.split_whitespace().collect();
    let ticks =
        |index: usize| -> Result<f64> { Ok(fields.get(index).context("a short stat file")?.parse()?) };
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("no clock tick")?;
    let per_second = f64::from(u32::try_from(per_second)?);
    Ok((ticks(11)? + ticks(12)?) / per_second)
}

/// High-water mark of resident memory.
pub(super) fn peak_mib(pid: u32) -> Result<f64> {
    Ok(status_kib(pid, "VmHWM:")? / 1024.0)
}

/// Resident memory now.
pub(super) fn resident_kib(pid: u32) -> Result<f64> {
    status_kib(pid, "VmRSS:")
}

fn status_kib(pid: u32, key: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(key)).with_context(|| format!("no {key}"))?;
    Ok(line.split_whitespace().nth(1).context("no figure")?.parse()?)
}
