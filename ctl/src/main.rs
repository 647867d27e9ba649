//! `rutterctl`: asks bgpd over its Unix socket and prints the answer.
//!
//! What can be shown, and in which words, comes from the table of show commands in `rutter-api`; nothing here knows a
//! single one of them by name.
//!
//! Invariant: exit status 0 means that the answer was printed, 1 that there is none, 2 that the question was not
//! understood.

use std::process::ExitCode;

use anyhow::Context;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use rutter_api::client::{Client, ClientError, DEFAULT_SOCKET};
use rutter_api::operate::ORDERS;
use rutter_api::show::command::{COMMANDS, NotUnderstood};

mod indent;
mod intent;
mod operate;
mod output;
mod show;

/// Asks bgpd about its sessions and routes, and tells it what to do.
#[derive(Debug, Parser)]
#[command(name = "rutterctl", version, infer_subcommands = true, max_term_width = 110)]
#[command(after_help = EXAMPLES)]
struct Cli {
    /// bgpd's socket
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: String,

    /// The BGP instance to show, if bgpd runs several
    #[arg(long, global = true, value_name = "NAME")]
    instance: Option<String>,

    /// Name of this node, for the column Node of the `bgp` commands
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

Exit status: 0 answered, 1 no answer, 2 command not understood.";

fn main() -> ExitCode {
    let arguments = command().get_matches();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(ClientError::Refused { raw, .. }) = error.downcast_ref()
                && wants_json(&arguments)
            {
                // A script that asked for JSON gets JSON, also when the answer is no.
                _ = output::print(&indent::json(raw));
            } else {
                eprintln!("{error:#}");
            }
            if error.downcast_ref::<NotUnderstood>().is_some() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
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

fn wants_json(arguments: &ArgMatches) -> bool {
    Cli::from_arg_matches(arguments).is_ok_and(|cli| {
        let last = match &cli.command {
            Command::Show { words } => words.last().map(String::as_str),
            _ => None,
        };
        cli.output == Format::Json || last == Some("json")
    })
}

fn run(arguments: &ArgMatches) -> anyhow::Result<()> {
    let cli = Cli::from_arg_matches(arguments)?;
    let client =
        Client::new(&cli.socket).hint("use --socket PATH").timeout(std::time::Duration::from_secs(60));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        match &cli.command {
            Command::Show { words } => show::run(&cli, &client, "show", words).await,
            Command::Bgp { words } => show::run(&cli, &client, "bgp", words).await,
            Command::Clear { words } => operate::run(&cli, &client, "clear", words).await,
            Command::Neighbor { words } => operate::run(&cli, &client, "neighbor", words).await,
            Command::No { words } => operate::run(&cli, &client, "no", words).await,
            Command::Intent(command) => intent::run(&client, command, cli.output).await,
        }
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
            (cli.instance.as_deref(), cli.output, cli.socket.as_str()),
            (Some("a"), Format::Json, "/x")
        );
        assert!(matches!(cli.command, Command::Show { words } if words == ["bgp", "ipv6"]));
    }
}
