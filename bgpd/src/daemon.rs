//! The process: configuration, API, signals, and the order in which they begin and end.
//!
//! Invariants: a file that is wrong at reload changes nothing; on the way out every peer hears why before the process ends.

mod beginning;
mod sd_notify;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use self::beginning::Beginning;
use crate::config::file::{ConfigErrors, ConfigFile};
use crate::handover::take::TakeError;
use crate::http::server::OpenError;
use crate::http::{self, ApiState};
use crate::instance::StopMode;
use crate::logging::{self, LogControl};
use crate::options::{DEFAULT_SOCKET, OnSigterm, Options};
use crate::supervisor::{IntentError, SupervisorHandle};

/// How long clients of the API may take to finish when bgpd stops.
const API_STOP_LIMIT: Duration = Duration::from_secs(1);

/// Why bgpd does not run.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A command line option is wrong.
    #[error("{0}")]
    Option(String),
    /// The file is valid and yet cannot be applied.
    #[error("{}: {source}", .file.display())]
    Intent {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: IntentError,
    },
    /// The running bgpd would not take the file.
    #[error("{}: {reason}", .file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The API cannot be opened.
    #[error(transparent)]
    Api(#[from] OpenError),
    /// Nothing was taken over.
    #[error("nothing was taken over, the running bgpd goes on: {0}")]
    TakeOver(TakeError),
    /// The system does not give what every process needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Failure {
    /// The exit status, as `--help` lists it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Config(_) | Self::Intent { .. } | Self::Refused { .. } => 1,
            Self::Option(_) => 2,
            Self::Api(_) | Self::System { .. } => 3,
            Self::TakeOver(_) => 5,
        })
    }
}

/// Runs bgpd until it is told to stop.
///
/// # Errors
/// See [`Failure`].
pub fn run(options: &Options) -> Result<(), Failure> {
    let file = match &options.config {
        Some(path) => ConfigFile::read(path)?,
        None => ConfigFile::default(),
    };
    let filter =
        options.log_level.as_deref().or(file.log.level.as_deref()).unwrap_or(logging::DEFAULT_FILTER);
    let format = options.log_format.or(file.log.format).unwrap_or_default();
    let log = logging::start(format, filter).map_err(|invalid| Failure::Option(invalid.to_string()))?;
    // The API and the supervisor share one thread; each instance brings its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::System { what: "start the event loop", source })?;
    runtime.block_on(Daemon::start(options, &file, log))?.run_in(&runtime)
}

struct Daemon {
    options: Options,
    log: LogControl,
    supervisor: SupervisorHandle,
    stop_api: CancellationToken,
    servers: Vec<tokio::task::JoinHandle<io::Result<()>>>,
    signals: Signals,
    /// Whoever answers those that want to take over.
    handover: Option<AbortHandle>,
    /// Somebody wants us to leave for a restart.
    left: mpsc::Receiver<()>,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let watch =
            |kind| signal(kind).map_err(|source| Failure::System { what: "watch for signals", source });
        Ok(Self {
            terminate: watch(SignalKind::terminate())?,
            interrupt: watch(SignalKind::interrupt())?,
            hangup: watch(SignalKind::hangup())?,
        })
    }
}

impl Daemon {
    async fn start(options: &Options, file: &ConfigFile, log: LogControl) -> Result<Self, Failure> {
        let signals = Signals::new()?;
        let path = socket_path(options, file);
        let Beginning { supervisor, clock, socket, tcp, handover, taken } =
            Beginning::new(options, file, &path).await?;
        let state = ApiState { supervisor: supervisor.clone(), clock, log: log.clone() };
        let stop_api = CancellationToken::new();
        let router = http::router(state);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), socket = %path.display(), "bgpd runs");
        if let Some(config) = &options.config {
            let applied = supervisor.reload(hostname(file), file.intent()).await;
            if let Err(source) = applied {
                let failure = Failure::Intent { file: config.clone(), source };
                if !taken {
                    return Err(failure);
                }
                tracing::error!("{failure}; what was taken over goes on as it was");
            }
        }
        let (leave, left) = mpsc::channel(1);
        let handover =
            handover.map(|handover| tokio::spawn(handover.serve(supervisor.clone(), leave)).abort_handle());
        let mut servers = vec![tokio::spawn(socket.serve(router.clone(), stop_api.clone()))];
        if let Some(tcp) = tcp {
            if let Ok(address) = tcp.address() {
                tracing::info!(%address, "the API is offered over TCP");
            }
            servers.push(tokio::spawn(tcp.serve(router, stop_api.clone())));
        }
        Ok(Self { options: options.clone(), log, supervisor, stop_api, servers, signals, handover, left })
    }

    fn run_in(self, runtime: &tokio::runtime::Runtime) -> Result<(), Failure> {
        runtime.block_on(self.run());
        Ok(())
    }

    async fn run(mut self) {
        let what = loop {
            tokio::select! {
                _ = self.signals.hangup.recv() => self.reload().await,
                _ = self.signals.terminate.recv() => break self.options.on_sigterm,
                _ = self.signals.interrupt.recv() => break OnSigterm::Stop,
                Some(()) = self.left.recv() => break OnSigterm::Restart,
            }
        };
        let mode = match what {
            OnSigterm::Stop => {
                tracing::info!("stopping: every peer is told; a second signal ends bgpd at once");
                StopMode::Graceful { text: None }
            }
            OnSigterm::Restart => {
                tracing::info!("leaving for a restart: peers with graceful restart keep their routes");
                StopMode::Restart
            }
        };
        let Self { supervisor, stop_api, servers, mut signals, handover, .. } = self;
        let orderly = async {
            supervisor.stop(mode).await;
            if let Some(handover) = handover {
                handover.abort();
            }
            stop_api.cancel();
            for server in servers {
                match tokio::time::timeout(API_STOP_LIMIT, server).await {
                    Ok(Ok(Ok(()))) => {}
                    Ok(Ok(Err(error))) => tracing::warn!(%error, "the API did not end well"),
                    Ok(Err(error)) => tracing::warn!(%error, "the API did not end well"),
                    // Whoever still holds a connection open is cut off by the end of the process.
                    Err(_elapsed) => tracing::debug!("a client of the API did not close its connection"),
                }
            }
        };
        tokio::select! {
            () = orderly => tracing::info!("stopped"),
            _ = signals.terminate.recv() => impatient(),
            _ = signals.interrupt.recv() => impatient(),
        }
    }

    async fn reload(&self) {
        let Some(path) = &self.options.config else {
            tracing::warn!("SIGHUP has nothing to read: bgpd was started without --config");
            return;
        };
        // Whoever writes a file in place empties it first; nobody means to end every session by that.
        if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
            tracing::error!(
                "{}: is empty, as if it were being written; the configuration stays as it was (write `instances: []` to \
                 remove everything)",
                path.display()
            );
            return;
        }
        let file = match ConfigFile::read(path) {
            Ok(file) => file,
            Err(errors) => {
                for error in &errors.0 {
                    tracing::error!("{error}");
                }
                tracing::error!("the configuration stays as it was");
                return;
            }
        };
        if self.options.log_level.is_none() {
            let filter = file.log.level.as_deref().unwrap_or(logging::DEFAULT_FILTER);
            if let Err(invalid) = self.log.set(filter) {
                tracing::warn!("{}: log.level: {invalid}; it stays as it was", path.display());
            }
        }
        match self.supervisor.reload(hostname(&file), file.intent()).await {
            Ok(applied) => {
                tracing::info!(changes = applied.changes.len(), file = %path.display(), "configuration read again")
            }
            Err(error) => tracing::error!("{}: {error}; the configuration stays as it was", path.display()),
        }
    }
}

/// Does not return.
fn impatient() {
    tracing::warn!("second signal, ending at once");
    logging::finish();
    std::process::exit(4);
}

pub(crate) fn socket_path(options: &Options, file: &ConfigFile) -> PathBuf {
    options
        .socket
        .clone()
        .or_else(|| file.api.socket.clone())
        .unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET))
}

pub(crate) fn hostname(file: &ConfigFile) -> Option<String> {
    let machine =
        || nix::sys::utsname::uname().ok().map(|names| names.nodename().to_string_lossy().into_owned());
    file.hostname.clone().or_else(machine).filter(|name| !name.is_empty())
}
