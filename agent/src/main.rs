//! rutter-agent: one per node. Watches Kubernetes objects and keeps bgpd's intent.
//!
//! The objects come from the API server or from manifests ([`source`]); what they lead to is computed whenever they may
//! have changed ([`follow`], [`watch`], [`pipeline`]). One task talks to bgpd ([`push`]); one writes the sessions' state
//! into the node configuration ([`node_status`]); one serves the status ([`api`]); one follows this machine's links and
//! routes ([`network`]). They share finished values only.

mod api;
mod args;
mod explain;
mod follow;
mod forward;
mod manifests;
mod memory_file;
mod metrics;
mod network;
mod node_status;
mod pipeline;
mod push;
mod source;
mod status;
mod watch;

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use axum::Router;
use clap::Parser as _;
use k8s_sync::cluster::{Cluster, Reflection, Scope};
use rutter_api::client::Client;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::api::Api;
use crate::args::{Args, LogFormat};
use crate::node_status::NodeStatus;
use crate::pipeline::Pipeline;
use crate::push::Pusher;
use crate::source::{Origin, Source};
use crate::status::Published;
use crate::watch::DirectoryWatch;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    start_logging(args.log_format);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let listener = api::listen(&args.socket).await?;
    let tcp = match args.listen {
        Some(address) => Some(api::listen_tcp(address).await?),
        None => None,
    };
    let origin = origin(&args).await?;
    let (sender, outcomes) = tokio::sync::watch::channel(None);
    let network = network::follow().await;
    let links = network.clone();
    let bgpd = Published::default();
    let client = Client::new(&args.bgpd_socket).hint("use --bgpd-socket PATH");
    let pusher = Pusher::new(client.clone(), outcomes.clone(), bgpd.clone());
    let metrics = pusher.metrics();
    let pipeline = Pipeline::new(Source::new(&origin), &args.node, args.options(), network.clone());
    let follower = match &origin {
        Origin::Manifests(place) => {
            let directory = &place.directory;
            let watch = DirectoryWatch::new(directory);
            tokio::spawn(follow::wake(network, watch.waker()));
            std::thread::Builder::new()
                .name("manifests".to_owned())
                .spawn(move || follow::directory(pipeline, watch, &sender))
                .context("cannot start the thread that reads the manifests")?;
            tracing::info!(node = args.node, manifests = %directory.display(), "started");
            tokio::spawn(std::future::pending())
        }
        Origin::ApiServer(cluster, reflection) => {
            tracing::info!(node = args.node, server = cluster.server(), "started");
            let report = args.enable_bgp_control_plane_status_report;
            let writer = NodeStatus::new((cluster, reflection), (client.clone(), bgpd.clone()), &args.node);
            tokio::spawn(writer.run(report, outcomes.clone()));
            tokio::spawn(follow::api_server(
                pipeline,
                reflection.changed(),
                network,
                pusher.settled(),
                sender,
            ))
        }
    };
    let pusher = tokio::spawn(pusher.run());
    let api = api::router(Arc::new(Api {
        options: args.options(),
        node: args.node,
        origin,
        outcomes,
        bgpd,
        started: Instant::now(),
        client,
        network: links,
        metrics,
    }));
    let over_tcp = serve_tcp(tcp, api.clone());
    tokio::select! {
        served = axum::serve(listener, api).into_future() => served.context("the status API failed")?,
        served = over_tcp => served.context("the status API over TCP failed")?,
        ended = pusher => ended.context("the task that talks to bgpd failed")?,
        ended = follower => ended.context("the task that translates failed")??,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // bgpd keeps what it has: stopping the agent is no reason to withdraw anything.
    tracing::info!("stopped; bgpd goes on with the last intent");
    remove_socket(&args.socket);
    Ok(())
}

/// Where the objects come from. An API server that is away is no error: it is asked until it answers.
async fn origin(args: &Args) -> anyhow::Result<Origin> {
    if let Some(place) = args.place() {
        return Ok(Origin::Manifests(place));
    }
    let cluster = Cluster::connect(&args.connect()).await?;
    let scope = Scope::Node { name: args.node.clone() };
    let reflection = Reflection::start(&cluster, &scope, args.options().secrets_namespace.as_deref());
    Ok(Origin::ApiServer(cluster, Arc::new(reflection)))
}

async fn serve_tcp(listener: Option<TcpListener>, api: Router) -> std::io::Result<()> {
    match listener {
        Some(listener) => axum::serve(listener, api).await,
        None => std::future::pending().await,
    }
}

fn remove_socket(socket: &Path) {
    if let Err(error) = std::fs::remove_file(socket) {
        tracing::debug!(socket = %socket.display(), %error, "the socket stays behind");
    }
}

/// The Kubernetes client logs every request that fails; what they lead to is a finding, and logged once.
const DEFAULT_LOG: &str = "info,kube_client=off";

fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new(DEFAULT_LOG));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
