//! rutter-agent: one per node. Watches Kubernetes objects and keeps bgpd's intent.
//!
//! One thread reads the manifests and translates ([`watch`], [`pipeline`]); one task talks to bgpd ([`push`]); one
//! serves the status ([`api`]); one follows this machine's links and routes ([`network`]). They share finished values only.

mod api;
mod args;
mod journal;
mod network;
mod pipeline;
mod push;
mod status;
mod watch;

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser as _;
use jiff::Timestamp;
use k8s_sync::network::Network;
use k8s_sync::report::Report;
use rutter_api::client::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch::Sender;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, LogFormat};
use crate::pipeline::{Outcome, Pipeline};
use crate::push::Pusher;
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
    let (sender, outcomes) = tokio::sync::watch::channel(None);
    let network = network::follow().await;
    let pipeline = Pipeline::new(&args.manifests, &args.node, args.options(), network.clone());
    let watch = DirectoryWatch::new(&args.manifests);
    tokio::spawn(wake(network, watch.waker()));
    std::thread::Builder::new()
        .name("manifests".to_owned())
        .spawn(move || follow(pipeline, watch, &sender))
        .context("cannot start the thread that reads the manifests")?;
    let bgpd = Published::default();
    let client = Client::new(&args.bgpd_socket).hint("use --bgpd-socket PATH");
    let pusher = tokio::spawn(Pusher::new(client, outcomes.clone(), bgpd.clone()).run());
    tracing::info!(node = args.node, manifests = %args.manifests.display(), "started");
    let api =
        api::Api { node: args.node, manifests: args.manifests, outcomes, bgpd, started: Instant::now() };
    tokio::select! {
        served = axum::serve(listener, api::router(api)).into_future() => served.context("the status API failed")?,
        ended = pusher => ended.context("the task that talks to bgpd failed")?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // bgpd keeps what it has: stopping the agent is no reason to withdraw anything.
    tracing::info!("stopped; bgpd goes on with the last intent");
    remove_socket(&args.socket);
    Ok(())
}

/// Wakes the reading thread when links or routes have changed.
async fn wake(mut network: tokio::sync::watch::Receiver<Network>, waker: std::sync::mpsc::Sender<()>) {
    while network.changed().await.is_ok() && waker.send(()).is_ok() {}
}

/// Reads the manifests whenever they may have changed, until nobody listens any more.
fn follow(mut pipeline: Pipeline, mut watch: DirectoryWatch, sender: &Sender<Option<Arc<Outcome>>>) {
    let mut logged = Report::default();
    while !sender.is_closed() {
        watch.arm();
        if let Some(outcome) = pipeline.refresh(Timestamp::now()) {
            journal::log_changes(&logged, &outcome.report);
            logged = outcome.report.clone();
            sender.send_replace(Some(outcome));
        }
        watch.wait();
    }
}

fn remove_socket(socket: &Path) {
    if let Err(error) = std::fs::remove_file(socket) {
        tracing::debug!(socket = %socket.display(), %error, "the socket stays behind");
    }
}

fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
