//! `show bgp neighbors X history`: asked from the owner, because nobody asks often and it is long.
//!
//! Invariant: what a peer said is shown only as words fit for a terminal, or as hexadecimal.

use std::collections::VecDeque;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use bgp_core::{Direction, LastReset, Noted, Speaker};
use rutter_api::show::history::{
    self, Ended, NeighborHistories, NeighborHistory, NotificationNoted, OrderNoted, StateChangeNoted, When,
};
use rutter_api::show::neighbor::NoSuchNeighbor;

use crate::clock::Moment;
use crate::http::ApiState;
use crate::http::error::ApiError;
use crate::http::show::peer::{millis, plain_state, printable};
use crate::http::show::{ShowQuery, View, answer, no_such_neighbor};
use crate::instance::snapshot::PeerSnapshot;

/// `show bgp neighbors X history`
#[utoipa::path(get, path = "/v1/show/bgp/neighbors/{peer}/history", tag = "show",
    params(("peer" = String, Path, description = "Name, address or interface"), ShowQuery),
    responses((status = 200, body = NeighborHistories), (status = 404, body = NoSuchNeighbor)))]
pub(super) async fn show_history(
    State(state): State<ApiState>,
    peer: Result<Path<String>, PathRejection>,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (Path(peer), Query(query)) = (peer?, query?);
    let view = View::new(&state, query.instance.as_deref())?;
    let Some(found) = view.find_peer(&peer).cloned() else { return Ok(no_such_neighbor(query.format)) };
    let key = found.shown_as();
    let history = view.handle.inspect(move |speaker, clock| collect(speaker, &found, &Moment::now(clock)));
    Ok(match history.await? {
        Some(history) => {
            let whole = NeighborHistories([(key, history)].into_iter().collect());
            answer(query.format, &whole, NeighborHistories::to_text)
        }
        None => no_such_neighbor(query.format),
    })
}

fn collect(speaker: &Speaker, peer: &PeerSnapshot, now: &Moment) -> Option<NeighborHistory> {
    let (known, history) = (speaker.peer(peer.id)?, speaker.history(peer.id)?);
    Some(NeighborHistory {
        peer_name: peer.config.name.to_string(),
        remote_as: known.remote_asn.unwrap_or_default(),
        bgp_state: plain_state(known.state),
        bgp_state_msecs: millis(now.age(known.since)),
        connections_established: known.established_count,
        connections_dropped: known.dropped_count,
        ended_sessions: newest_first(history.sessions, |noted| ended(noted, now)),
        failed_attempts: newest_first(history.attempts, |noted| ended(noted, now)),
        notifications: newest_first(history.notifications, |noted| NotificationNoted {
            when: when(noted, now),
            notification: notification(noted.what.0, &noted.what.1),
        }),
        orders: newest_first(history.orders, |noted| OrderNoted {
            when: when(noted, now),
            order: noted.what.to_string(),
        }),
        state_changes: newest_first(history.states, |noted| StateChangeNoted {
            when: when(noted, now),
            from: plain_state(noted.what.from),
            to: plain_state(noted.what.to),
            reason: noted.what.reason.to_string(),
        }),
    })
}

fn newest_first<T, R>(ring: &VecDeque<Noted<T>>, show: impl Fn(&Noted<T>) -> R) -> Vec<R> {
    ring.iter().rev().map(show).collect()
}

fn when<T>(noted: &Noted<T>, now: &Moment) -> When {
    When {
        epoch: now.epoch_seconds(noted.at),
        ago_msecs: millis(now.age(noted.at)),
        times: noted.repeated,
        first_epoch: (noted.repeated > 1).then(|| now.epoch_seconds(noted.first)),
    }
}

fn ended(noted: &Noted<LastReset>, now: &Moment) -> Ended {
    let LastReset { reason, notification: last_word, lasted, .. } = &noted.what;
    Ended {
        when: when(noted, now),
        cause: reason.label().to_owned(),
        reason: reason.to_string(),
        lasted_msecs: lasted.map(millis),
        notification: last_word.as_ref().map(|(direction, sent)| notification(*direction, sent)),
    }
}

fn notification(direction: Direction, shown: &bgp_wire::Notification) -> history::Notification {
    history::Notification {
        direction: match direction {
            Direction::Sent => history::Direction::Sent,
            Direction::Received => history::Direction::Received,
        },
        code: shown.code,
        subcode: shown.subcode,
        reason: shown.reason().to_string(),
        hard_reset_of: shown.wrapped().map(|inner| inner.reason().to_string()),
        shutdown_description: shown.text().map(|text| printable(text).into_owned()),
        data: shown.data.iter().map(|octet| format!("{octet:02x}")).collect(),
    }
}
