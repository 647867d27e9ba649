//! `/v1/intents`: what each owner wants.
//!
//! Invariant: an answer never holds a password.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use rutter_api::control::{Applied, Conflict, ErrorBody, IntentSummary};
use rutter_api::intent::{Intent, Peer, Secret};
use serde::Deserialize;

use crate::http::ApiState;
use crate::http::error::ApiError;
use crate::intents::Owner;

/// All owners.
#[utoipa::path(get, path = "/v1/intents", tag = "intents", responses((status = 200, body = Vec<IntentSummary>)))]
pub(super) async fn list(State(state): State<ApiState>) -> Json<Vec<IntentSummary>> {
    Json(state.supervisor.list().await)
}

/// What some owner wants and does not get, because another owner comes first by name.
#[utoipa::path(get, path = "/v1/conflicts", tag = "intents", responses((status = 200, body = Vec<Conflict>)))]
pub(super) async fn conflicts(State(state): State<ApiState>) -> Json<Vec<Conflict>> {
    Json(state.supervisor.conflicts().await)
}

/// What an owner wants. Passwords are masked.
#[utoipa::path(get, path = "/v1/intents/{owner}", tag = "intents",
    params(("owner" = String, Path, description = "Who put the intent; `file` is the configuration file")),
    responses((status = 200, body = Intent), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    owner: Result<Path<String>, PathRejection>,
) -> Result<Json<Intent>, ApiError> {
    let Path(owner) = owner?;
    let named = parse_owner(&owner)?;
    let intent = state.supervisor.get(named).await;
    intent.map(|intent| Json(masked(intent))).ok_or_else(|| no_intent(&owner))
}

/// From now on this is all that the owner wants. Checked whole before anything changes; the answer lists what changed.
/// Applied at once; what comes while it is being applied, or as long again after it, is applied together.
#[utoipa::path(put, path = "/v1/intents/{owner}", tag = "intents",
    params(("owner" = String, Path, description = "Who wants it: 1 to 63 letters, digits, `-`, `_`, `.`"),
        ("dry_run" = Option<String>, Query, description = "Only say what would change; `file` can be planned, too"),
        ("hostname" = Option<String>, Query, description = "With dry_run: the host name that would be sent")),
    request_body = Intent,
    responses(
        (status = 200, body = Applied),
        (status = 409, body = ErrorBody, description = "The owner is the configuration file"),
        (status = 422, body = ErrorBody, description = "The intent breaks a rule; nothing has changed")))]
pub(super) async fn put(
    State(state): State<ApiState>,
    owner: Result<Path<String>, PathRejection>,
    query: Result<Query<PutQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Applied>, ApiError> {
    let Path(owner) = owner?;
    let Query(query) = query?;
    if query.dry_run.as_deref().is_some_and(|value| value != "false") {
        let intent = parse_intent(&body?)?;
        return Ok(Json(state.supervisor.plan(parse_owner(&owner)?, query.hostname, intent).await?));
    }
    let owner = writable_owner(&owner)?;
    let intent = parse_intent(&body?)?;
    Ok(Json(state.supervisor.put(owner, intent).await?))
}

/// The owner wants nothing any more.
#[utoipa::path(delete, path = "/v1/intents/{owner}", tag = "intents",
    params(("owner" = String, Path, description = "Who put the intent")),
    responses((status = 200, body = Applied), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    owner: Result<Path<String>, PathRejection>,
) -> Result<Json<Applied>, ApiError> {
    let Path(owner) = owner?;
    let named = writable_owner(&owner)?;
    state.supervisor.delete(named).await.map(Json).ok_or_else(|| no_intent(&owner))
}

/// What may follow the path of a PUT.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutQuery {
    #[serde(default)]
    dry_run: Option<String>,
    #[serde(default)]
    hostname: Option<String>,
}

fn parse_owner(owner: &str) -> Result<Owner, ApiError> {
    Owner::new(owner).map_err(|invalid| ApiError::new(StatusCode::BAD_REQUEST, invalid.to_string()))
}

fn writable_owner(owner: &str) -> Result<Owner, ApiError> {
    let owner = parse_owner(owner)?;
    if owner.is_file() {
        let text =
            "owner `file` is the configuration file; edit it and send bgpd SIGHUP, or use another owner";
        return Err(ApiError::new(StatusCode::CONFLICT, text));
    }
    Ok(owner)
}

fn no_intent(owner: &str) -> ApiError {
    ApiError::not_found(format!("owner {owner:?} has no intent; GET /v1/intents lists those that have"))
}

/// Reads the body; the path of a field that does not fit is written as in the intent itself.
fn parse_intent(body: &[u8]) -> Result<Intent, ApiError> {
    // serde would take a list of fields in order too; nobody means that.
    if body.trim_ascii_start().first() != Some(&b'{') {
        let text = "the body is no intent: it must be a JSON object";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    // Keeping account of where we are costs half as much again as reading: only a mistake is read a second time.
    let mut intent = serde_json::from_slice(body).or_else(|_mistake| parse_with_path(body))?;
    refuse_masked(&intent)?;
    take_over(&mut intent, body)?;
    Ok(intent)
}

/// Reads the body and knows the path of a mistake.
fn parse_with_path(body: &[u8]) -> Result<Intent, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let intent: Intent = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner();
        if path == "." {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the body is no intent: {problem}"))
        } else if path.ends_with(".password") || path.ends_with(".secret") {
            // serde repeats what it found, and here that is a secret.
            ApiError::field(path.clone(), format!("{path}: must be a string"))
        } else {
            ApiError::field(path.clone(), format!("{path}: {problem}"))
        }
    })?;
    deserializer.end().map_err(|problem| {
        ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the body has something after the intent: {problem}"),
        )
    })?;
    Ok(intent)
}

/// Completes peers with what their groups have. What the body does not have was not written.
fn take_over(intent: &mut Intent, body: &[u8]) -> Result<(), ApiError> {
    if intent.instances.iter().all(|instance| instance.peer_groups.is_empty()) {
        // Whoever names a group all the same is told when the intent is checked.
        return Ok(());
    }
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let written = |path: &str| {
        let pointer = format!("/{}", path.replace("].", "/").replace(['.', '['], "/").replace(']', ""));
        body.pointer(&pointer).is_some()
    };
    match intent.take_over(written) {
        Ok(_taken) => Ok(()),
        Err(invalid) => Err(ApiError::field(invalid.field.clone(), invalid.to_string())),
    }
}

/// What stands for a password in answers.
const MASK: &str = "********";

fn masked(mut intent: Intent) -> Intent {
    for instance in &mut intent.instances {
        let groups = instance.peer_groups.iter_mut().map(|group| &mut group.peer);
        let ranges = instance.dynamic_peers.iter_mut().map(|dynamic| &mut dynamic.peer);
        let all = instance.peers.iter_mut().chain(groups).chain(ranges);
        all.flat_map(secrets).for_each(|secret| *secret = Secret::new(MASK));
    }
    intent
}

fn secrets(peer: &mut Peer) -> impl Iterator<Item = &mut Secret> {
    let keys = peer.tcp_ao.iter_mut().flat_map(|tcp_ao| &mut tcp_ao.keys);
    peer.password.iter_mut().chain(keys.map(|key| &mut key.secret))
}

/// An answer of ours that is put back would replace every password by its mask, and every such session would go down.
fn refuse_masked(intent: &Intent) -> Result<(), ApiError> {
    for (number, instance) in intent.instances.iter().enumerate() {
        let masked = |secret: &Secret| secret.expose() == MASK;
        let named = |list: &'static str, position| format!("instances[{number}].{list}[{position}]");
        let fixed = instance.peers.iter().enumerate().map(|(at, peer)| (named("peers", at), peer));
        let groups = instance.peer_groups.iter().enumerate();
        let groups = groups.map(|(at, group)| (named("peerGroups", at), &group.peer));
        let ranges = instance.dynamic_peers.iter().enumerate();
        let ranges = ranges.map(|(at, dynamic)| (named("dynamicPeers", at), &dynamic.peer));
        let found = fixed.chain(groups).chain(ranges).find_map(|(at, peer)| {
            if peer.password.as_ref().is_some_and(masked) {
                return Some(format!("{at}.password"));
            }
            let keys = peer.tcp_ao.as_ref().map_or(&[][..], |tcp_ao| &tcp_ao.keys);
            let key = keys.iter().position(|key| masked(&key.secret))?;
            Some(format!("{at}.tcpAo.keys[{key}].secret"))
        });
        if let Some(field) = found {
            let text = format!(
                "{field}: {MASK} is how answers mask a password; write the password itself, or another one"
            );
            return Err(ApiError::field(field, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn a_field_that_does_not_fit_is_named() {
        let body = br#"{"instances":[{"name":"m","localASN":"x","routerID":"10.0.0.1"}]}"#;
        let error = parse_intent(body).expect_err("a refusal");
        assert!(format!("{error:?}").contains("instances[0].localASN"), "{error:?}");
        assert_eq!(error.into_response().status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(parse_intent(b"[]").is_err());
        assert!(parse_intent(b"{} {}").is_err());
        assert_eq!(parse_intent(b"{}").expect("an empty intent"), Intent::default());
    }

    #[test]
    fn a_password_of_the_wrong_type_is_not_repeated() {
        let body = br#"{"instances":[{"name":"m","localASN":1,"routerID":"10.0.0.1","peers":[{"name":"p","address":"192.0.2.1","password":4711}]}]}"#;
        let text = format!("{:?}", parse_intent(body).expect_err("no string"));
        assert!(text.contains("instances[0].peers[0].password") && !text.contains("4711"), "{text}");
    }

    #[test]
    fn passwords_are_masked() {
        let body = br#"{"instances":[{"name":"m","localASN":1,"routerID":"10.0.0.1","peers":[{"name":"p","address":"192.0.2.1","password":"geheim"}]}]}"#;
        let shown = serde_json::to_string(&masked(parse_intent(body).expect("an intent"))).expect("JSON");
        assert!(!shown.contains("geheim") && shown.contains(MASK), "{shown}");
        let error = parse_intent(shown.as_bytes()).expect_err("the mask is no password");
        assert!(format!("{error:?}").contains("instances[0].peers[0].password"), "{error:?}");
    }
}
