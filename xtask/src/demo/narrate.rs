//! How the demo talks: numbered steps, and each command as a person could type it, with what it really printed.

use std::cell::Cell;

use anyhow::{Result, ensure};
use rutter_lab::kube::ControlPlane;
use rutter_lab::{Frr, Host};

/// Prints the story. Bold only on a terminal.
pub(crate) struct Narrator {
    step: Cell<u32>,
    bold: bool,
}

impl Narrator {
    pub(crate) fn new() -> Self {
        use std::io::IsTerminal;
        Self { step: Cell::new(0), bold: std::io::stdout().is_terminal() }
    }

    /// A new step and what it shows.
    pub(crate) fn step(&self, title: &str) {
        self.step.set(self.step.get() + 1);
        let (on, off) = if self.bold { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        println!("\n{on}{}. {title}{off}", self.step.get());
    }

    pub(crate) fn say(&self, text: &str) {
        println!("   {text}");
    }

    /// Runs a command on a host and shows both it and its output.
    pub(crate) fn show(&self, host: &Host, argv: &[&str]) -> Result<String> {
        let output = host.check(argv)?;
        self.command(&format!("ip netns exec {} {}", host.netns(), quoted(argv)), &output);
        Ok(output)
    }

    /// Asks FRR through the real vtysh.
    pub(crate) fn vtysh(&self, frr: &Frr, question: &str) -> Result<String> {
        let output = frr.vtysh(&[question])?;
        let argv = frr.vtysh_command(question);
        self.command(&quoted(&argv.iter().map(String::as_str).collect::<Vec<_>>()), &output);
        Ok(output)
    }

    /// Runs kubectl from the top of the checkout and shows both it and its output.
    pub(crate) fn kubectl(&self, cluster: &ControlPlane, args: &[&str]) -> Result<()> {
        let mut argv = vec!["kubectl"];
        argv.extend(args);
        self.in_cluster(cluster, &argv)
    }

    /// Runs a program that finds the cluster as kubectl does, and shows both it and its output.
    pub(crate) fn in_cluster(&self, cluster: &ControlPlane, argv: &[&str]) -> Result<()> {
        let ran = cluster.run_on(cluster.host(), argv)?;
        ensure!(ran.success, "`{}` failed: {}{}", quoted(argv), ran.stdout, ran.stderr);
        self.command(&quoted(argv), &ran.stdout);
        Ok(())
    }

    /// A command that something else ran, with its output.
    pub(crate) fn command(&self, shown: &str, output: &str) {
        let (on, off) = if self.bold { ("\x1b[36m", "\x1b[0m") } else { ("", "") };
        println!("   {on}# {shown}{off}");
        for line in output.trim_end().lines() {
            println!("   {line}");
        }
    }
}

fn quoted(argv: &[&str]) -> String {
    let quote = |word: &&str| {
        if word.contains([' ', '"', '[', '*']) { format!("'{word}'") } else { (*word).to_owned() }
    };
    argv.iter().map(quote).collect::<Vec<_>>().join(" ")
}
