//! `rutterctl`: asks bgpd over its Unix socket, or the agents of a cluster, and prints the answer.
//!
//! The same program under the name `kubectl-rutter` is the plugin `kubectl rutter`, for which the cluster is the default.
//!
//! What can be shown, and in which words, comes from the table of show commands in `rutter-api`; nothing here knows a
//! single one of them by name.
//!
//! Invariant: exit status 0 means that the answer was printed, 1 that there is none, 2 that the question was not
//! understood.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use rutter_api::client::{Client, ClientError};
use rutter_api::explain::NoSubject;
use rutter_api::operate::ORDERS;
use rutter_api::show::command::{COMMANDS, NotUnderstood};

use crate::reach::{ClusterOptions, Reach};

mod explain;
mod indent;
mod intent;
mod lbipam;
mod nodes;
mod operate;
mod output;
mod reach;
mod show;
mod status;

/// Asks bgpd about its sessions and routes, here or on all nodes of a cluster, and tells it what to do.
#[derive(Debug, Parser)]
#[command(name = "rutterctl", version, infer_subcommands = true, max_term_width = 110)]
#[command(after_help = EXAMPLES)]
struct Cli {
    /// bgpd's socket. Default: /run/rutter/bgpd.sock, if it exists, else the nodes of the kubeconfig's cluster
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<String>,

    /// The socket of this machine's agent, for explain and status
    #[arg(long, global = true, value_name = "PATH", default_value = "/run/rutter/agent.sock")]
    agent_socket: String,

    #[command(flatten)]
    cluster: ClusterOptions,

    /// The BGP instance to show, if bgpd runs several
    #[arg(long, global = true, value_name = "NAME")]
    instance: Option<String>,

    /// In a cluster, the one node to ask. Else the name of this node, for the column Node of the `bgp` commands
    #[arg(long, global = true, value_name = "NAME")]
    node: Option<String>,

    /// How to print the answer: for people or as JSON; `show ... json` is the same as -o json
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "text")]
    output: Format,

    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// FRR's show commands, as in vtysh: sessions, table, neighbours
    Show {
        /// The rest of the command; words may be abbreviated
        words: Vec<String>,
    },
    /// The same in Cilium's words: peers, routes, route-policies
    Bgp {
        /// The rest of the command; words may be abbreviated
        words: Vec<String>,
        /// With `peers`: what both sides said in their OPEN that they can do
        #[arg(short, long)]
        capabilities: bool,
    },
    /// Reset sessions, or have routes sent again, as in vtysh
    Clear {
        /// The rest of the command; words may be abbreviated
        words: Vec<String>,
    },
    /// Shut a session down for now, as in vtysh's configuration
    Neighbor {
        /// The rest of the command; words may be abbreviated
        words: Vec<String>,
    },
    /// Take an order back
    No {
        /// The rest of the command; words may be abbreviated
        words: Vec<String>,
    },
    /// Why a Service, a node or a prefix is announced, down to the octets on the wire; or where the way ends
    Explain(explain::Question),
    /// Whether all is well: operator, agents, bgpds, sessions, findings
    Status(status::Options),
    /// Addresses of Services: which one and why, what a change would move, who has what
    #[command(subcommand)]
    Lbipam(lbipam::Command),
    /// What bgpd was told to do, by owner; and telling it
    #[command(subcommand)]
    Intent(intent::Command),
}

const EXAMPLES: &str = "\
Examples:
  rutterctl show bgp summary               which sessions are up, how many prefixes they carry
  rutterctl show bgp 10.244.1.0/24         every path to a prefix, and who was told of it
  rutterctl show bgp neighbors 10.0.0.1    one session in detail
  rutterctl sh bgp nei tor-a adv           what peer tor-a was sent, as it went on the wire
  rutterctl show bgp ipv6 unicast json     the IPv6 table for a script
  rutterctl bgp peers                      the sessions as `cilium bgp peers` shows them
  rutterctl clear bgp 10.0.0.1 soft in     ask a neighbour for its routes again; the session stays
  rutterctl nei tor-a shutdown message X   close a session and say why to the other operator
  rutterctl no neighbor tor-a shutdown     let it come up again
  rutterctl intent list                    who told bgpd to do how much
  rutterctl -A bgp peers                   the sessions of all nodes of the cluster
  rutterctl bgp peers -c                   what both sides of each session can do
  rutterctl -A --node w1 show bgp summary  what FRR's words show on node w1
  rutterctl -A explain service shop/web    why it is announced by these nodes and not by those
  rutterctl explain --manifests DIR prefix 10.0.0.1    the same from files, with nobody asked
  rutterctl -A status --wait               until everything is well
  rutterctl lbipam explain shop/web        which pool gives it which address, and why not the others
  rutterctl lbipam plan -f pool.yaml       who would lose or get an address
  rutterctl lbipam show                    pools, and how full they are

Whom it asks: the bgpd behind --socket; the cluster with --kubeconfig, --context or --all-nodes, and as `kubectl rutter`;
else this machine's bgpd if its socket exists; else the cluster of the usual kubeconfig. Orders always go to one bgpd.

Exit status: 0 answered, 1 no answer, or not from every node, 2 command not understood.";

fn main() -> ExitCode {
    let called = if is_plugin() { command().bin_name("kubectl rutter") } else { command() };
    let arguments = called.get_matches();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            if let Some(ClientError::Refused { raw, .. }) = error.downcast_ref()
                && wants_json(&arguments)
            {
                // A script that asked for JSON gets JSON, also when the answer is no.
                _ = output::print(&indent::json(raw));
            } else {
                eprintln!("{error:#}");
            }
            let words = error.is::<NotUnderstood>() || error.is::<NoSubject>();
            if words || error.is::<lbipam::Misunderstood>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// The command line, with the table of show commands in its help.
fn command() -> clap::Command {
    let rows = |start: &str| {
        let mut text = "Commands:\n".to_owned();
        for row in COMMANDS.iter().filter(|row| row.words[0].starts_with(start)) {
            for words in row.words {
                text.push_str(&format!("  {words}\n"));
            }
            text.push_str(&format!("          {}\n", row.help));
        }
        text.trim_end().to_owned()
    };
    let orders = |start: &str| {
        let mut text = "Commands:\n".to_owned();
        for row in ORDERS.iter().filter(|row| row.words[0].starts_with(start)) {
            text.push_str(&format!("  {}\n          {}\n", row.words.join("\n  "), row.help));
        }
        text.trim_end().to_owned()
    };
    Cli::command()
        .mut_subcommand("show", |show| show.after_help(rows("show ")))
        .mut_subcommand("bgp", |bgp| bgp.after_help(rows("bgp ")))
        .mut_subcommand("clear", |clear| clear.after_help(orders("clear ")))
        .mut_subcommand("neighbor", |neighbor| neighbor.after_help(orders("neighbor ")))
        .mut_subcommand("no", |no| no.after_help(orders("no ")))
}

impl Cli {
    /// Whom to ask; in a cluster only `node`, if one is named.
    async fn reach(&self, node: Option<&str>) -> anyhow::Result<Reach> {
        Reach::find(self.socket.as_deref(), &self.cluster, is_plugin(), node).await
    }

    /// The one bgpd that orders go to.
    fn bgpd(&self) -> anyhow::Result<Client> {
        if self.cluster.is_asked_for() || (is_plugin() && self.socket.is_none()) {
            bail!(
                "orders go to one bgpd over its socket, never through the API server: run this on the node, e.g. kubectl exec in \
                 its pod, with --socket PATH"
            );
        }
        Ok(reach::local(self.socket.as_deref()))
    }
}

/// Whether this is `kubectl rutter`: kubectl runs the program of that name.
fn is_plugin() -> bool {
    let called = std::env::args_os().next().unwrap_or_default();
    std::path::Path::new(&called).file_stem().is_some_and(|name| name == "kubectl-rutter")
}

fn wants_json(arguments: &ArgMatches) -> bool {
    Cli::from_arg_matches(arguments).is_ok_and(|cli| {
        let last = match &cli.command {
            Command::Show { words } => words.last().map(String::as_str),
            _ => None,
        };
        cli.output == Format::Json || last == Some("json")
    })
}

fn run(arguments: &ArgMatches) -> anyhow::Result<ExitCode> {
    let cli = Cli::from_arg_matches(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        match &cli.command {
            Command::Show { words } => show::run(&cli, "show", words, false).await?,
            Command::Bgp { words, capabilities } => show::run(&cli, "bgp", words, *capabilities).await?,
            Command::Clear { words } => operate::run(&cli, &cli.bgpd()?, "clear", words).await?,
            Command::Neighbor { words } => operate::run(&cli, &cli.bgpd()?, "neighbor", words).await?,
            Command::No { words } => operate::run(&cli, &cli.bgpd()?, "no", words).await?,
            Command::Explain(question) => explain::run(&cli, question).await?,
            Command::Status(options) => status::run(&cli, options).await?,
            Command::Lbipam(command) => return lbipam::run(&cli, command).await,
            Command::Intent(command) => intent::run(&cli.bgpd()?, command, cli.output).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn help_lists_every_show_command() {
        for (name, start) in [("show", "show "), ("bgp", "bgp ")] {
            let mut whole = command();
            let help = whole.find_subcommand_mut(name).expect("the subcommand").render_help().to_string();
            for row in COMMANDS.iter().filter(|row| row.words[0].starts_with(start)) {
                assert!(row.words.iter().all(|words| help.contains(words)), "{help}");
            }
        }
    }

    #[test]
    fn options_may_stand_anywhere() {
        let line = "rutterctl sh bgp --instance a ipv6 -o json --socket /x";
        let matches = command().get_matches_from(line.split(' '));
        let cli = Cli::from_arg_matches(&matches).expect("valid");
        assert_eq!(
            (cli.instance.as_deref(), cli.output, cli.socket.as_deref()),
            (Some("a"), Format::Json, Some("/x"))
        );
        assert!(matches!(cli.command, Command::Show { words } if words == ["bgp", "ipv6"]));
    }
}
