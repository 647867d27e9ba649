//! Debian packages that a command needs. What is missing is named before it is installed; nothing is installed twice,
//! and the services that packages bring are not left running by us.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run;

/// A program, and the Debian or Ubuntu package that brings it.
pub(crate) struct Tool {
    /// Where the program may stand: absolute paths, or a name to look up in PATH.
    pub(crate) found_at: &'static [&'static str],
    pub(crate) package: &'static str,
    pub(crate) why: &'static str,
}

pub(crate) const IPROUTE2: Tool = Tool { found_at: &["ip"], package: "iproute2", why: "network namespaces" };
pub(crate) const FRR: Tool =
    Tool { found_at: &["/usr/lib/frr/bgpd"], package: "frr", why: "the router we peer with" };
pub(crate) const BIRD: Tool =
    Tool { found_at: &["bird", "/usr/sbin/bird"], package: "bird2", why: "a second peer" };
pub(crate) const CURL: Tool = Tool { found_at: &["curl"], package: "curl", why: "a client of the VIP" };
pub(crate) const PING: Tool =
    Tool { found_at: &["ping"], package: "iputils-ping", why: "reachability checks" };
pub(crate) const CXX: Tool =
    Tool { found_at: &["c++"], package: "g++", why: "libFuzzer in the fuzz targets" };
pub(crate) const OPENSSL: Tool =
    Tool { found_at: &["openssl"], package: "openssl", why: "the API server's signing key" };
pub(crate) const GOBGP: Tool = Tool {
    found_at: &["/usr/bin/gobgpd"],
    package: "gobgpd",
    why: "a third peer (Go 1.21 or later builds a newer one)",
};

/// The three peers of interop tests and benchmarks. GoBGP is built by Go where there is one, else it is a package.
pub(crate) fn ensure_peers() -> Result<()> {
    let mut tools = vec![&IPROUTE2, &FRR, &BIRD, &CURL, &PING];
    if !rutter_lab::can_build_gobgp() {
        tools.push(&GOBGP);
    }
    ensure(&tools)
}

/// Installs what of `tools` is missing.
pub(crate) fn ensure(tools: &[&Tool]) -> Result<()> {
    let missing: Vec<&&Tool> =
        tools.iter().filter(|tool| !tool.found_at.iter().any(|at| exists(at))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("Missing on this machine, and installed now with apt-get:");
    for tool in &missing {
        println!("  {:<14} {}", tool.package, tool.why);
    }
    if !exists("apt-get") {
        bail!(
            "there is no apt-get here; install {} with this system's package manager and run the command again",
            missing.iter().map(|tool| tool.package).collect::<Vec<_>>().join(", ")
        );
    }
    apt(&["update", "-q"])?;
    let mut words = vec!["install", "-y", "-q", "--no-install-recommends"];
    words.extend(missing.iter().map(|tool| tool.package));
    apt(&words)?;
    for tool in missing {
        if !tool.found_at.iter().any(|at| exists(at)) {
            bail!("package {} is installed but brought none of {:?}", tool.package, tool.found_at);
        }
        stop_service(tool.package);
    }
    Ok(())
}

fn apt(words: &[&str]) -> Result<()> {
    let mut command = run::as_root("env");
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(words).stdout(Stdio::null());
    println!("$ apt-get {}", words.join(" "));
    let status = command.status().context("cannot start apt-get")?;
    if !status.success() {
        bail!("`apt-get {}` ended with {status}; run it by hand to see why", words.join(" "));
    }
    Ok(())
}

/// A freshly installed frr or bird2 starts a daemon of its own on systemd machines. Ours run in namespaces; that one
/// was not asked for.
fn stop_service(package: &str) {
    let unit = match package {
        "frr" => "frr.service",
        "bird2" => "bird.service",
        _ => return,
    };
    if Path::new("/run/systemd/system").exists() {
        println!("$ systemctl disable --now {unit}");
        // Best effort: a machine without the unit has nothing to stop.
        let _ = run::as_root("systemctl").args(["disable", "--now", unit]).status();
    }
}

fn exists(at: &str) -> bool {
    if at.starts_with('/') {
        return Path::new(at).exists();
    }
    Command::new("sh")
        .args(["-c", "command -v \"$0\"", at])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
