//! Whom a command asks: the bgpd of this machine, or the agents of a cluster.
//!
//! | given | asked |
//! |---|---|
//! | `--socket PATH` | the bgpd behind it |
//! | `--kubeconfig`, `--context`, `--all-nodes`, or called as `kubectl rutter` | the nodes of that cluster |
//! | neither, and `/run/rutter/bgpd.sock` exists | this machine's bgpd |
//! | neither, and there is a kubeconfig | the nodes of its cluster |
//! | none of all that | this machine's bgpd, which then cannot be reached |
//!
//! Invariant: the choice depends on these alone, never on who happens to answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use k8s_sync::cluster::Connect;
use rutter_api::client::{Client, DEFAULT_SOCKET};

use crate::nodes::Nodes;

/// How to get to a cluster.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClusterOptions {
    /// The kubeconfig of the cluster whose nodes are asked. Default: $KUBECONFIG, then ~/.kube/config
    #[arg(long, global = true, value_name = "PATH", help_heading = "Cluster options")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster options")]
    pub(crate) context: Option<String>,
    /// Ask the nodes of the cluster although this machine has a bgpd of its own
    #[arg(short = 'A', long, global = true, help_heading = "Cluster options")]
    pub(crate) all_nodes: bool,
    /// The namespace of rutter's pods
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "rutter-system",
        help_heading = "Cluster options"
    )]
    pub(crate) namespace: String,
    /// Labels of the agents' pods
    #[arg(
        long,
        global = true,
        value_name = "SELECTOR",
        default_value = "app.kubernetes.io/name=rutter-agent",
        help_heading = "Cluster options"
    )]
    pub(crate) agent_pod_selector: String,
    /// Longest wait for the answers of the nodes: 30s, 1m, 1m30s
    #[arg(long, global = true, value_name = "DURATION", default_value = "1m", value_parser = duration, help_heading = "Cluster options")]
    pub(crate) wait_duration: Duration,
}

impl ClusterOptions {
    /// Whether an option says that a cluster is meant.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some() || self.all_nodes
    }
}

/// Whom to ask.
pub(crate) enum Reach {
    /// The bgpd behind a socket of this machine.
    Socket(Client),
    /// The agents of a cluster.
    Cluster(Nodes),
}

/// What of the machine plays a part in the choice.
#[derive(Clone, Copy, Debug)]
struct Surroundings {
    plugin: bool,
    socket: bool,
    kubeconfig: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Socket,
    Cluster,
}

impl Reach {
    /// Chooses, and connects.
    pub(crate) async fn find(
        socket: Option<&str>,
        options: &ClusterOptions,
        plugin: bool,
        node: Option<&str>,
    ) -> anyhow::Result<Self> {
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config").exists());
        let around = Surroundings {
            plugin,
            socket: Path::new(DEFAULT_SOCKET).exists(),
            kubeconfig: home.unwrap_or_default()
                || ["KUBECONFIG", "KUBERNETES_SERVICE_HOST"]
                    .iter()
                    .any(|name| std::env::var_os(name).is_some()),
        };
        match choose(socket, options, around)? {
            Choice::Socket => Ok(Self::Socket(local(socket))),
            Choice::Cluster => Ok(Self::Cluster(Nodes::find(options, node).await?)),
        }
    }
}

/// bgpd on this machine.
pub(crate) fn local(socket: Option<&str>) -> Client {
    let hint = if socket.is_some() {
        "use --socket PATH"
    } else {
        "use --socket PATH, or --all-nodes to ask a cluster"
    };
    Client::new(socket.unwrap_or(DEFAULT_SOCKET)).hint(hint).timeout(Duration::from_secs(60))
}

/// The connection that the options describe.
pub(crate) fn connection(options: &ClusterOptions) -> Connect {
    Connect { kubeconfig: options.kubeconfig.clone(), context: options.context.clone() }
}

fn choose(socket: Option<&str>, options: &ClusterOptions, around: Surroundings) -> anyhow::Result<Choice> {
    let cluster = options.is_asked_for();
    if socket.is_some() && cluster {
        bail!(
            "--socket is one bgpd; --kubeconfig, --context and --all-nodes are the nodes of a cluster: give one or the other"
        );
    }
    Ok(match (socket.is_some(), cluster || around.plugin) {
        (true, _) => Choice::Socket,
        (false, true) => Choice::Cluster,
        (false, false) if around.socket || !around.kubeconfig => Choice::Socket,
        (false, false) => Choice::Cluster,
    })
}

/// A duration as Go writes it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write 30s, 1m or 1m30s");
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).filter(|at| *at > 0);
        let (number, unit) = rest.split_at(digits.ok_or_else(wrong)?);
        let number: u64 = number.parse().map_err(|_too_large| wrong())?;
        let end = unit.find(|character: char| character.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, left) = unit.split_at(end);
        total += match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.saturating_mul(60)),
            "h" => Duration::from_secs(number.saturating_mul(3600)),
            _ => return Err(wrong()),
        };
        rest = left;
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(all_nodes: bool) -> ClusterOptions {
        ClusterOptions {
            kubeconfig: None,
            context: None,
            all_nodes,
            namespace: String::new(),
            agent_pod_selector: String::new(),
            wait_duration: Duration::ZERO,
        }
    }

    #[test]
    fn the_rule() {
        let around = |plugin, socket, kubeconfig| Surroundings { plugin, socket, kubeconfig };
        for (given, all_nodes, around, expected) in [
            (Some("/x"), false, around(true, true, true), Choice::Socket),
            (None, true, around(false, true, false), Choice::Cluster),
            (None, false, around(true, true, true), Choice::Cluster),
            (None, false, around(false, true, true), Choice::Socket),
            (None, false, around(false, false, true), Choice::Cluster),
            (None, false, around(false, false, false), Choice::Socket),
        ] {
            let chosen = choose(given, &options(all_nodes), around).expect("no contradiction");
            assert_eq!(chosen, expected, "{given:?} {all_nodes} {around:?}");
        }
        let context = ClusterOptions { context: Some("prod".to_owned()), ..options(false) };
        assert_eq!(choose(None, &context, around(false, true, true)).expect("one"), Choice::Cluster);
        let both = choose(Some("/x"), &context, around(false, true, true)).expect_err("a contradiction");
        assert!(both.to_string().contains("one or the other"), "{both}");
    }

    #[test]
    fn durations_of_go() {
        for (text, seconds) in [("1m", 60), ("30s", 30), ("1m30s", 90), ("2h", 7200)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        for text in ["", "1", "m", "1d", "-1s", "0s", "1m s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
