//! The status of the node's CiliumBGPNodeConfig: the sessions as bgpd has them, and what went wrong.
//!
//! Invariants: written at most once per [`INTERVAL`] and only if it differs; onto the very object it was computed for; a
//! transition time moves only when the status of its condition does; the time a session was established is read once per
//! session, so that it does not tremble with our clock.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_sync::cluster::{ApiError, Cluster, Reflection};
use k8s_sync::conditions::Condition as ReconcileCondition;
use rutter_api::cilium::peers::{Peer, SessionState};
use rutter_api::client::Client;
use rutter_api::intent::Intent;
use rutter_crds::bgp_node_config::{
    BGPFamilyRouteCount, CiliumBGPNodeInstance, CiliumBGPNodeInstanceStatus, CiliumBGPNodePeer,
    CiliumBGPNodePeerStatus, CiliumBGPNodeStatus, CiliumBGPTimersState,
};
use rutter_crds::{CiliumBGPNodeConfig, Condition, ConditionStatus};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::pipeline::Outcome;
use crate::status::{BgpdState, Published};

/// The kind.
const KIND: &str = "CiliumBGPNodeConfig";
/// Who writes, as `kubectl get --show-managed-fields` shows it.
const MANAGER: &str = "CiliumBGPNodeConfigStatusReconciler";
/// Between two writes at least, plus some jitter.
const INTERVAL: Duration = Duration::from_secs(5);
/// Standard deviation of the jitter.
const JITTER: Duration = Duration::from_millis(500);
/// Clearing the status of an object whose status nobody wants any more.
const CLEAR_RETRY: Duration = Duration::from_secs(3);
const CLEAR_ATTEMPTS: usize = 20;
/// Two readings of the same moment differ by less than this.
const SAME_MOMENT: SignedDuration = SignedDuration::from_secs(3);

/// Writes the status.
pub(crate) struct NodeStatus {
    cluster: Cluster,
    reflection: Arc<Reflection>,
    bgpd: Client,
    state: Published<BgpdState>,
    node: String,
    /// What was written last, and onto which object.
    written: Option<(Option<String>, CiliumBGPNodeStatus)>,
    /// Since when sessions are established, by instance and peer.
    since: BTreeMap<(String, String), Timestamp>,
    complaint: Option<String>,
}

impl NodeStatus {
    pub(crate) fn new(
        (cluster, reflection): (&Cluster, &Arc<Reflection>),
        (bgpd, state): (Client, Published<BgpdState>),
        node: &str,
    ) -> Self {
        Self {
            cluster: cluster.clone(),
            reflection: Arc::clone(reflection),
            bgpd,
            state,
            node: node.to_owned(),
            written: None,
            since: BTreeMap::new(),
            complaint: None,
        }
    }

    /// Writes for as long as the process lives, or clears the status once if it is not wanted.
    pub(crate) async fn run(mut self, wanted: bool, outcomes: watch::Receiver<Option<Arc<Outcome>>>) {
        if !wanted {
            self.clear(outcomes).await;
            return;
        }
        loop {
            let outcome = outcomes.borrow().clone();
            if let Some(outcome) = outcome {
                self.write(&outcome).await;
            }
            sleep(INTERVAL + JITTER.mul_f64(deviation().abs())).await;
        }
    }

    async fn write(&mut self, outcome: &Outcome) {
        let Some(config) = &outcome.node_config else { return };
        let peers: Vec<Peer> = match self.bgpd.get_json("/v1/bgp/peers").await {
            Ok(peers) => peers,
            // The one who puts intents says so already; what was written last stays.
            Err(error) => return tracing::debug!(%error, "the sessions cannot be read"),
        };
        let uid = config.metadata.uid.clone();
        let before = match &self.written {
            Some((of, status)) if *of == uid => Some(status),
            _ => config.status.as_ref(),
        };
        let now = Timestamp::now();
        let status = CiliumBGPNodeStatus {
            bgp_instances: instances(config, &outcome.intent, &peers, &mut self.since, now),
            conditions: conditions(outcome, self.state.read(|state| state.error.clone()), before, now),
        };
        if self.written.as_ref() == Some(&(uid.clone(), status.clone())) {
            return;
        }
        let value = match serde_json::to_value(&status) {
            Ok(value) => value,
            Err(error) => return tracing::error!(%error, "the status cannot be written as JSON"),
        };
        let result = self.put(config, value).await;
        match result {
            Ok(()) => {
                self.written = Some((uid, status));
                self.complaint = None;
            }
            Err(error) => self.complain(&error),
        }
    }

    /// Replaces the status of this object and of no later one of its name. "add" replaces what is there (RFC 6902 §4.1), and
    /// does not mind that an object which was just made has no status at all, as "replace" would.
    async fn put(&self, config: &CiliumBGPNodeConfig, status: Value) -> Result<(), ApiError> {
        let Some(collection) = self.reflection.collection(KIND) else { return Ok(()) };
        let mut patch = vec![json!({"op": "add", "path": "/status", "value": status})];
        if let Some(uid) = &config.metadata.uid {
            patch.insert(0, json!({"op": "test", "path": "/metadata/uid", "value": uid}));
        }
        let address = collection.name(&self.node).subresource("status");
        self.cluster.json_patch(&address, MANAGER, &Value::Array(patch)).await.map(drop)
    }

    async fn clear(&mut self, mut outcomes: watch::Receiver<Option<Arc<Outcome>>>) {
        let known =
            outcomes.wait_for(|outcome| outcome.as_ref().is_some_and(|outcome| outcome.complete)).await;
        let Some(config) = known.ok().and_then(|outcome| outcome.as_ref()?.node_config.clone()) else {
            return;
        };
        for _ in 0..CLEAR_ATTEMPTS {
            match self.put(&config, json!({})).await {
                Ok(()) => {
                    return tracing::info!(
                        "the status of the node configuration is cleared; it is not reported"
                    );
                }
                Err(error) => self.complain(&error),
            }
            sleep(CLEAR_RETRY).await;
        }
    }

    /// Said once per kind of failure: it is tried again every few seconds.
    fn complain(&mut self, error: &ApiError) {
        let text = error.to_string();
        if self.complaint.as_ref() != Some(&text) {
            tracing::warn!(reason = "StatusNotWritten", error = %text, "the status of the node configuration is not up to date");
        }
        self.complaint = Some(text);
    }
}

/// The sessions of the node configuration. Peers whose ASN or address is not known are left out.
fn instances(
    config: &CiliumBGPNodeConfig,
    intent: &Intent,
    peers: &[Peer],
    since: &mut BTreeMap<(String, String), Timestamp>,
    now: Timestamp,
) -> Vec<CiliumBGPNodeInstanceStatus> {
    let mut alive = BTreeMap::new();
    let mut instances = Vec::new();
    for instance in &config.spec.bgp_instances {
        let mut of_instance = Vec::new();
        for peer in &instance.peers {
            let found = peers.iter().find(|found| found.instance == instance.name && found.name == peer.name);
            let Some((asn, address)) = identity(instance, peer, intent, found) else { continue };
            let mut status = CiliumBGPNodePeerStatus {
                name: peer.name.clone(),
                peer_address: address,
                peer_asn: Some(i64::from(asn)),
                ..CiliumBGPNodePeerStatus::default()
            };
            if let Some(found) = found {
                let key = (instance.name.clone(), peer.name.clone());
                let established = established(found, since.get(&key).copied(), now);
                alive.extend(established.map(|time| (key, time)));
                fill(&mut status, found, established);
            }
            of_instance.push(status);
        }
        instances.push(CiliumBGPNodeInstanceStatus {
            local_asn: instance.local_asn.map(i64::from),
            name: instance.name.clone(),
            peers: of_instance,
        });
    }
    *since = alive;
    instances
}

/// ASN and address of a peer. An address that was discovered stands in the intent only.
fn identity(
    instance: &CiliumBGPNodeInstance,
    peer: &CiliumBGPNodePeer,
    intent: &Intent,
    found: Option<&Peer>,
) -> Option<(u32, String)> {
    let discovered = || {
        let instance = intent.instances.iter().find(|candidate| candidate.name == instance.name)?;
        let peer = instance.peers.iter().find(|candidate| candidate.name == peer.name)?;
        Some(peer.address.to_string())
    };
    let address = peer.peer_address.clone().or_else(discovered)?;
    // 0 takes what the peer says; once it has said it, that is its ASN.
    let said = found.map(|found| found.peer_asn).filter(|asn| *asn != 0);
    Some((peer.peer_asn.map(|asn| if asn == 0 { said.unwrap_or(0) } else { asn })?, address))
}

fn fill(status: &mut CiliumBGPNodePeerStatus, peer: &Peer, established: Option<Timestamp>) {
    let small = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
    status.peering_state = Some(peer.session_state.name().to_owned());
    status.established_time = established.map(|time| time.to_string());
    if established.is_some() {
        status.timers = Some(CiliumBGPTimersState {
            applied_hold_time_seconds: Some(small(peer.applied_hold_time_seconds)),
            applied_keepalive_seconds: Some(small(peer.applied_keep_alive_time_seconds)),
        });
    }
    let word = |text: &str| Value::String(text.to_owned());
    status.route_count = peer
        .families
        .iter()
        .filter_map(|family| {
            Some(BGPFamilyRouteCount {
                afi: serde_json::from_value(word(&family.afi)).ok()?,
                safi: serde_json::from_value(word(&family.safi)).ok()?,
                received: Some(small(family.received)),
                advertised: Some(small(family.advertised)),
            })
        })
        .collect();
}

/// Since when the session is established, to the second; as read before while it is the same session.
fn established(peer: &Peer, before: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    if peer.session_state != SessionState::Established {
        return None;
    }
    let uptime = SignedDuration::from_nanos(i64::try_from(peer.uptime_nanoseconds).unwrap_or(i64::MAX));
    let since = now.checked_sub(uptime).ok()?;
    match before {
        Some(before) if since.duration_since(before).abs() < SAME_MOMENT => Some(before),
        _ => Timestamp::from_second(since.as_second()).ok(),
    }
}

/// The conditions of the node configuration, with their transition times.
/// `refusal` is why bgpd did not take the intent.
fn conditions(
    outcome: &Outcome,
    refusal: Option<String>,
    before: Option<&CiliumBGPNodeStatus>,
    now: Timestamp,
) -> Vec<Condition> {
    let Some(object) = outcome.conditions.iter().find(|conditions| conditions.object.kind == KIND) else {
        return Vec::new();
    };
    let refused = refusal.map(|text| {
        let instances = outcome.intent.instances.iter().map(|instance| (instance.name.clone(), text.clone()));
        ReconcileCondition::reconcile_error(&instances.collect::<Vec<_>>())
    });
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let with_time = |condition: &ReconcileCondition| {
        let status = if condition.status { ConditionStatus::True } else { ConditionStatus::False };
        let before = before.into_iter().flat_map(|before| &before.conditions);
        let same = before.into_iter().find(|old| old.type_ == condition.type_ && old.status == status);
        Condition {
            last_transition_time: same.map_or_else(|| Time(second), |old| old.last_transition_time.clone()),
            message: condition.message.clone(),
            observed_generation: object.observed_generation,
            reason: condition.reason.to_owned(),
            status,
            type_: condition.type_.to_owned(),
        }
    };
    // What bgpd refuses weighs more than what was left out on the way to it.
    match refused.filter(|refused| refused.status) {
        Some(refused) => vec![with_time(&refused)],
        None => object.conditions.iter().map(with_time).collect(),
    }
}

/// A number of a normal distribution with mean 0 and deviation 1, near enough: the sum of twelve uniform ones.
fn deviation() -> f64 {
    let uniform = || (RandomState::new().hash_one(0_u8) >> 32) as f64 / f64::from(u32::MAX);
    (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> CiliumBGPNodeConfig {
        let json = json!({"apiVersion": "cilium.io/v2", "kind": KIND, "metadata": {"name": "w1", "generation": 3},
            "spec": {"bgpInstances": [{"name": "i", "localASN": 65001, "peers": [
                {"name": "tor", "peerAddress": "192.0.2.1", "peerASN": 65000},
                {"name": "nobody", "peerAddress": "192.0.2.2"},
                {"name": "nowhere", "peerASN": 65000},
                {"name": "anybody", "peerAddress": "192.0.2.3", "peerASN": 0}]}]}});
        serde_json::from_value(json).unwrap()
    }

    fn peer(name: &str, state: SessionState, uptime: Duration) -> Peer {
        Peer {
            instance: "i".to_owned(),
            name: name.to_owned(),
            peer_asn: 65000,
            session_state: state,
            uptime_nanoseconds: u64::try_from(uptime.as_nanos()).unwrap(),
            applied_hold_time_seconds: 9,
            applied_keep_alive_time_seconds: 3,
            ..Peer::default()
        }
    }

    #[test]
    fn peers_without_asn_or_address_are_left_out() {
        let peers = [peer("tor", SessionState::Established, Duration::from_secs(60))];
        let now = Timestamp::from_second(1_000_000).unwrap();
        let status = instances(&config(), &Intent::default(), &peers, &mut BTreeMap::new(), now);
        let names: Vec<&str> = status[0].peers.iter().map(|peer| peer.name.as_str()).collect();
        assert_eq!(names, ["tor", "anybody"]);
        let tor = &status[0].peers[0];
        assert_eq!(tor.peering_state.as_deref(), Some("established"));
        assert_eq!(tor.established_time.as_deref(), Some("1970-01-12T13:45:40Z"));
        assert_eq!(tor.timers.unwrap().applied_hold_time_seconds, Some(9));
        assert_eq!(status[0].peers[1].peering_state, None, "bgpd does not have it");
    }

    #[test]
    fn the_time_of_a_session_does_not_tremble() {
        let mut since = BTreeMap::new();
        let mut time = |uptime: u64, now: i64| {
            let peers = [peer("tor", SessionState::Established, Duration::from_millis(uptime))];
            let now = Timestamp::from_millisecond(now).unwrap();
            let status = instances(&config(), &Intent::default(), &peers, &mut since, now);
            status[0].peers[0].established_time.clone().unwrap()
        };
        let first = time(5_400, 100_000);
        assert_eq!(time(10_400, 106_100), first, "read a little late");
        assert_ne!(time(1_000, 150_000), first, "another session");
    }

    #[test]
    fn a_transition_time_moves_with_the_status_only() {
        let condition = |errors: &[(String, String)]| {
            let conditions = vec![ReconcileCondition::reconcile_error(errors)];
            let object = k8s_sync::object::ObjectRef::cluster(KIND, "w1");
            let conditions =
                k8s_sync::conditions::ObjectConditions { object, observed_generation: Some(3), conditions };
            Outcome { conditions: vec![conditions], ..Outcome::default() }
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        let of = |conditions: Vec<Condition>| CiliumBGPNodeStatus { bgp_instances: Vec::new(), conditions };
        let bad = |text: &str| condition(&[("i".to_owned(), text.to_owned())]);
        let first = conditions(&bad("a"), None, None, at(10));
        let second = conditions(&bad("b"), None, Some(&of(first.clone())), at(20));
        assert_eq!(second[0].last_transition_time, first[0].last_transition_time);
        assert_eq!(second[0].message, "i: b");
        let third = conditions(&condition(&[]), None, Some(&of(second)), at(30));
        assert_eq!(third[0].last_transition_time, Time(at(30)));
        let mut outcome = condition(&[]);
        let instance = json!({"name": "i", "localASN": 65001, "routerID": "192.0.2.1"});
        outcome.intent = Arc::new(serde_json::from_value(json!({"instances": [instance]})).unwrap());
        let refused = conditions(&outcome, Some("not that one".to_owned()), None, at(40));
        assert_eq!(
            (refused[0].reason.as_str(), refused[0].message.as_str()),
            ("ReconcileFailed", "i: not that one")
        );
    }

    #[test]
    fn jitter_is_mostly_small() {
        let drawn: Vec<f64> = (0..1000).map(|_| deviation()).collect();
        let small = drawn.iter().filter(|number| number.abs() < 1.0).count();
        assert!((550..800).contains(&small), "{small} of 1000");
    }
}
