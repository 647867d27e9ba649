//! What an operator tells a session to do: the counterpart of FRR's `clear bgp`.
//!
//! Invariant: a command that was not carried out changes nothing and says why; commands do not outlive bgpd, the intents
//! decide.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use bgp_core::{Command, CommandRefusal, PeerId};
use bgp_wire::{Family, MAX_SHUTDOWN_TEXT};
use rutter_api::control::ErrorBody;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::http::ApiState;
use crate::http::error::ApiError;
use crate::http::show::{View, parse_family};

/// What a session can be told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PeerCommand {
    /// Close the session (Cease, Administrative Reset) and open it again. Also ends the wait after a prefix limit.
    Reset,
    /// Close the session (Cease, Administrative Shutdown) and keep it down until `enable` or a restart of bgpd.
    Disable,
    /// Take `disable` back.
    Enable,
    /// Ask the peer to send its routes again (RFC 2918).
    SoftIn,
    /// Send our routes again.
    SoftOut,
    /// The session is about to end: tell the peer and prefer other paths to its (RFC 8326). Until `undrain` or a restart of
    /// bgpd.
    Drain,
    /// Take `drain` back.
    Undrain,
}

/// Details of a command.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CommandQuery {
    /// The instance. Absent: the only one, or the first by name.
    instance: Option<String>,
    /// Words for the peer (RFC 9003), with `reset` and `disable`.
    text: Option<String>,
    /// `ipv4` or `ipv6`, with `soft-in` and `soft-out`. Absent: all.
    family: Option<String>,
}

/// `clear bgp X [soft in|out]`, and shutting a session down for now
#[utoipa::path(post, path = "/v1/control/bgp/neighbors/{peer}/{command}", tag = "control",
    params(("peer" = String, Path, description = "Name, address or interface"),
           ("command" = PeerCommand, Path, description = "What to do"), CommandQuery),
    responses((status = 204, description = "Done"), (status = 404, body = ErrorBody),
              (status = 400, body = ErrorBody, description = "Words that no peer could read"),
              (status = 409, body = ErrorBody, description = "The session's state does not allow it")))]
pub(crate) async fn command(
    State(state): State<ApiState>,
    path: Result<Path<(String, PeerCommand)>, PathRejection>,
    query: Result<Query<CommandQuery>, QueryRejection>,
) -> Result<StatusCode, ApiError> {
    let (Path((peer, command)), Query(query)) = (path?, query?);
    let view = View::new(&state, query.instance.as_deref())?;
    let Some(found) = view.find_peer(&peer) else {
        return Err(ApiError::not_found(format!("there is no peer {peer:?}")));
    };
    let family = query.family.as_deref().map(parse_family).transpose()?;
    query.text.as_deref().map(check_text).transpose()?;
    let order = order(found.id, command, query.text.as_deref().map(Arc::from), family);
    let peer = &found.config.name;
    tracing::info!(instance = %view.snapshot.name, %peer, "an operator ordered {command:?}");
    match view.handle.command(order).await? {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(refusal @ CommandRefusal::UnknownPeer) => Err(ApiError::not_found(refusal.to_string())),
        Err(refusal) => Err(ApiError::new(StatusCode::CONFLICT, format!("{peer}: {refusal}"))),
    }
}

/// Words that go to the peer whole, or not at all (RFC 9003).
fn check_text(text: &str) -> Result<(), ApiError> {
    let fault = if text.len() > MAX_SHUTDOWN_TEXT {
        format!("text has {} octets; a peer is sent {MAX_SHUTDOWN_TEXT} at most (RFC 9003)", text.len())
    } else if text.contains(char::is_control) {
        "text has a control character, which would not reach the peer's log; use plain words".to_owned()
    } else {
        return Ok(());
    };
    Err(ApiError::new(StatusCode::BAD_REQUEST, fault))
}

fn order(peer: PeerId, command: PeerCommand, text: Option<Arc<str>>, family: Option<Family>) -> Command {
    match command {
        PeerCommand::Reset => Command::Reset { peer, text },
        PeerCommand::Disable => Command::Disable { peer, text },
        PeerCommand::Enable => Command::Enable { peer },
        PeerCommand::SoftIn => Command::SoftIn { peer, family },
        PeerCommand::SoftOut => Command::SoftOut { peer, family },
        PeerCommand::Drain => Command::Drain { peer },
        PeerCommand::Undrain => Command::Undrain { peer },
    }
}
