//! `rutter-operator run`: the parts, wired together.
//!
//! Invariant: the lease is given back only after the last write has been answered or given up, so the successor writes alone.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use k8s_sync::cluster::{Cluster, Parts, Reflection, Scope};
use kube_lease::Elector;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::api::{self, Api};
use crate::args::{LogFormat, RunArgs};
use crate::candidate::{LeaderLease, identity};
use crate::controller::Controller;
use crate::lbipam::{self, View};
use crate::metrics::Metrics;
use crate::status::{Passed, Sources};

/// How long giving the lease back may take before the process ends without it.
const RELEASE: Duration = Duration::from_secs(5);

/// Runs until a signal.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<()> {
    start_logging(args.log_format);
    // Renewing must not wait for a plan over thousands of nodes.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(operate(args))
}

async fn operate(args: &RunArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let settings = args.settings()?;
    let listener = match args.listen {
        Some(address) => Some(api::listen(address).await?),
        None => None,
    };
    let cluster = Cluster::connect(&args.connect()).await?;
    let options = args.options();
    let secrets = options.secrets_namespace.as_deref();
    let addresses = &args.lbipam;
    let parts = Parts { bgp: true, ..addresses.parts() };
    let reflection = Arc::new(Reflection::start(&cluster, &Scope::Cluster(parts), secrets));
    let (identity, namespace) = (identity(), args.namespace());
    let lease = LeaderLease::new(&cluster, &namespace, &args.leader_election_lease_name);
    tracing::info!(server = cluster.server(), identity, namespace, "started");
    let elector = Elector::start(lease, settings, &identity);
    let metrics = Metrics::new()?;
    let (sender, passed) = watch::channel(Passed::default());
    let controller = Controller {
        cluster: cluster.clone(),
        reflection: Arc::clone(&reflection),
        leadership: elector.leadership(),
        options,
        policy: args.policy(),
        metrics: metrics.clone(),
        passed: sender,
    };
    let leadership = elector.leadership();
    let (stop, stopping) = watch::channel(false);
    let view = View {
        state: Arc::new(Mutex::new(lbipam::State::new(addresses.settings(), addresses.enabled()))),
        settings: addresses.settings(),
        enabled: addresses.enabled(),
    };
    let addresses = lbipam::Controller {
        cluster: cluster.clone(),
        reflection: Arc::clone(&reflection),
        leadership: leadership.clone(),
        settings: addresses.settings(),
        parts: addresses.decisive_parts(),
        counters: metrics.lbipam.clone(),
        state: Arc::clone(&view.state),
    };
    let mut addresses = tokio::spawn(addresses.run(stopping));
    let sources = Sources { identity, cluster, reflection, leadership, passed, addresses: view };
    let api = Api { sources, metrics, started: Instant::now() };
    tokio::select! {
        served = serve(listener, api) => served.context("the API failed")?,
        () = controller.run() => {}
        // It ends when it is told to, below; a process that gives no addresses any more is better started anew.
        ended = &mut addresses => ended.context("the controller of addresses failed")?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // The controller is dropped by now and sends nothing more; what it had sent names the version it was meant for. Addresses are
    // given until the last answer has come: a successor that reads everything then knows all of them.
    stop.send_replace(true);
    if let Err(error) = addresses.await {
        tracing::error!(%error, "the controller of addresses ended early");
    }
    if tokio::time::timeout(RELEASE, elector.release()).await.is_err() {
        tracing::warn!("the lease could not be given back in time; it runs out by itself");
    }
    tracing::info!("stopped; nothing changes on the nodes");
    Ok(())
}

async fn serve(listener: Option<TcpListener>, api: Api) -> std::io::Result<()> {
    match listener {
        Some(listener) => axum::serve(listener, api::router(api)).await,
        None => std::future::pending().await,
    }
}

fn start_logging(format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info,kube_client=off"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
