//! How bgpd begins: from nothing, from what a dead one left, or from a running one that hands everything over.
//!
//! Invariants: nothing is dialled before the API is open, so a second bgpd by mistake disturbs nobody; whatever can go wrong
//! in taking over goes wrong before the running bgpd has stopped for good.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Failure, hostname, sd_notify};
use crate::clock::Clock;
use crate::config::file::ConfigFile;
use crate::handover;
use crate::handover::give::HandoverSocket;
use crate::handover::take::{self, TakeError};
use crate::http::server::{ApiSocket, ApiTcp};
use crate::instance::TakenSession;
use crate::intents::Owner;
use crate::options::{Options, TakeOver};
use crate::state::{Earlier, Keeper};
use crate::supervisor::{self, SupervisorHandle, TakenOver};

/// The state file is beside the socket and has its name: two bgpd in one folder have two.
const STATE_EXTENSION: &str = "state.json";
/// How long the bgpd before may take to free the API's TCP port.
const PORT_LIMIT: Duration = Duration::from_secs(2);

/// What is there before the first request is answered.
pub(super) struct Beginning {
    pub(super) supervisor: SupervisorHandle,
    pub(super) clock: Clock,
    pub(super) socket: ApiSocket,
    pub(super) tcp: Option<ApiTcp>,
    pub(super) handover: Option<HandoverSocket>,
    /// Sessions were taken over: a configuration that is refused must not end them.
    pub(super) taken: bool,
}

impl Beginning {
    /// Begins as the options say. `path` is where the API is.
    pub(super) async fn new(options: &Options, file: &ConfigFile, path: &Path) -> Result<Self, Failure> {
        let Some(otherwise) = options.take_over else { return Self::anew(options, file, path).await };
        let asked = handover::socket_path(path);
        match Self::taken(options, file, path).await {
            Ok(Some(beginning)) => Ok(beginning),
            Ok(None) => {
                tracing::info!(socket = %asked.display(), "no bgpd runs that could be taken over: a plain start");
                Self::anew(options, file, path).await
            }
            Err(error) if otherwise == TakeOver::OrFail => Err(Failure::TakeOver(error)),
            Err(error) => {
                tracing::warn!(%error, "nothing was taken over: the running bgpd is asked to leave for a graceful restart");
                take::ask_to_leave(&asked).map_err(Failure::TakeOver)?;
                Self::anew(options, file, path).await
            }
        }
    }

    async fn anew(options: &Options, file: &ConfigFile, path: &Path) -> Result<Self, Failure> {
        let socket = ApiSocket::open(path)?;
        let tcp = match options.listen.or(file.api.listen) {
            Some(address) => Some(ApiTcp::open(address, file.api.token_file.as_deref()).await?),
            None => None,
        };
        let clock = Clock::start();
        let keeper = keeper(options, path);
        let earlier = Earlier::read(keeper.path());
        let supervisor = supervisor::start(clock, hostname(file), &earlier, keeper);
        if options.config.is_none() {
            // It had a file before, perhaps; now nobody speaks for it.
            supervisor.excuse(Owner::file()).await;
        }
        Ok(Self { supervisor, clock, socket, tcp, handover: open_handover(path), taken: false })
    }

    async fn taken(options: &Options, file: &ConfigFile, path: &Path) -> Result<Option<Self>, TakeError> {
        let unusable = |what: String| TakeError::Unusable(what);
        supervisor::check(&file.intent(), hostname(file).as_deref())
            .map_err(|error| unusable(format!("the configuration is refused: {error}")))?;
        let begun = Instant::now();
        let Some(mut taken) = take::ask(&handover::socket_path(path))? else { return Ok(None) };
        let process = taken.process.take().ok_or_else(|| unusable("nothing came".to_owned()))?;
        let prepared = TakenOver::prepare(process).await.map_err(TakeError::Unusable)?;
        let socket = ApiSocket::beside(path).map_err(|error| unusable(error.to_string()))?;
        taken.commit()?;
        // From here on everything is ours, and nobody else is left to do it.
        let clock = prepared.clock();
        let (supervisor, sessions) = prepared.start(keeper(options, path)).await;
        let socket = socket
            .replace(path)
            .map_err(|error| unusable(format!("the API's socket cannot be put into place: {error}")))?;
        let handover = open_handover(path);
        sd_notify::main_process();
        let version = std::mem::take(&mut taken.version);
        // The other one ends.
        drop(taken);
        report(&version, &sessions, begun.elapsed());
        if options.config.is_none() {
            supervisor.delete(Owner::file()).await;
        }
        let tcp = match options.listen.or(file.api.listen) {
            Some(address) => open_tcp(address, file).await,
            None => None,
        };
        Ok(Some(Self { supervisor, clock, socket, tcp, handover, taken: true }))
    }
}

fn keeper(options: &Options, path: &Path) -> Keeper {
    Keeper::new(options.state.clone().unwrap_or_else(|| path.with_extension(STATE_EXTENSION)))
}

fn open_handover(path: &Path) -> Option<HandoverSocket> {
    let path = handover::socket_path(path);
    HandoverSocket::open(&path)
        .inspect_err(|error| {
            tracing::warn!(socket = %path.display(), %error, "no other bgpd will be able to take over from this one");
        })
        .ok()
}

/// The bgpd before frees the port as it ends.
async fn open_tcp(address: std::net::SocketAddr, file: &ConfigFile) -> Option<ApiTcp> {
    let limit = Instant::now() + PORT_LIMIT;
    loop {
        match ApiTcp::open(address, file.api.token_file.as_deref()).await {
            Ok(tcp) => return Some(tcp),
            Err(error) if Instant::now() > limit => {
                tracing::error!(%error, "the API is not offered over TCP; the sessions go on");
                return None;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Says what was taken over, where whoever started us looks.
#[expect(clippy::print_stdout, reason = "--take-over answers on stdout")]
fn report(version: &str, sessions: &[(String, TakenSession)], took: Duration) {
    println!("took over from bgpd {version}: {} sessions in {:.1} ms", sessions.len(), millis(took));
    for (instance, TakenSession { peer, address, pause }) in sessions {
        println!("{instance} {peer} ({address}): pause {:.1} ms", millis(*pause));
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
