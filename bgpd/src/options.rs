//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::config::file::{LogFormat, parse_listen};

/// Where the API's socket is unless somebody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/rutter/bgpd.sock";

/// A BGP speaker. Takes neighbours and routes from a YAML file, from its API, or both.
///
/// Without --config it starts with nothing but the API and waits for intents (PUT /v1/intents/OWNER).
///
/// Signals: SIGHUP reads the file again and applies the differences; sessions that did not change stay up. SIGTERM and
/// SIGINT close all sessions in order (Cease); a second one ends at once. With --on-sigterm restart, SIGTERM leaves the
/// state file and tells peers with graceful restart nothing: they keep the routes until the next bgpd is up.
///
/// Exit status: 0 after an orderly stop, 1 if the configuration is wrong, 2 for wrong options, 3 if the API cannot be
/// opened, 4 after a second signal, 5 if --take-over=or-fail took nothing over.
#[derive(Clone, Debug, Parser)]
#[command(name = "bgpd", version, max_term_width = 100)]
pub struct Options {
    /// Configuration file (YAML)
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Check a configuration file, say what is wrong with it or what it would do to the running bgpd's sessions, and end
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub check: Option<Option<PathBuf>>,
    /// With --check: say what the step from this file would do, not from what the running bgpd has
    #[arg(long, value_name = "OLD", requires = "check")]
    pub against: Option<PathBuf>,
    /// Unix socket of the API [default: /run/rutter/bgpd.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// File that lets bgpd restart gracefully after a crash [default: the socket's name with .state.json]
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// What SIGTERM means: stop for good, or come back in a moment
    #[arg(long, value_enum, value_name = "WHAT", default_value = "stop")]
    pub on_sigterm: OnSigterm,
    /// Take the sessions of the bgpd that serves the socket over, so that no peer notices, and end it. If there is none,
    /// start as always. If that does not work, have it leave as by --on-sigterm restart and restart gracefully, or with
    /// =or-fail leave it alone and end with status 5
    #[arg(
        long, value_enum, value_name = "ELSE", num_args = 0..=1, require_equals = true,
        default_missing_value = "or-restart"
    )]
    pub take_over: Option<TakeOver>,
    /// Offer the API on TCP too. A port alone means 127.0.0.1. Read-only unless the file sets api.tokenFile
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_listen)]
    pub listen: Option<SocketAddr>,
    /// How log lines look [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, trace, or TARGET=LEVEL pairs [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// What to do if the running bgpd cannot be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TakeOver {
    /// The running one leaves, and this one restarts gracefully
    OrRestart,
    /// The running one goes on, and this one ends
    OrFail,
}

/// What SIGTERM means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnSigterm {
    /// Every peer is told that bgpd stops, and forgets its routes
    #[default]
    Stop,
    /// bgpd is started again within the Restart Time; peers with graceful restart keep its routes
    Restart,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_port_alone_stays_on_the_loopback() {
        let options = Options::parse_from(["bgpd", "--listen", "9179"]);
        assert_eq!(options.listen, Some(SocketAddr::from(([127, 0, 0, 1], 9179))));
    }
}
