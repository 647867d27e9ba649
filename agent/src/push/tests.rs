//! Tests of `push` against a small bgpd that only keeps intents.

use std::collections::BTreeMap;
use std::path::Path;

use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use rutter_api::control::ErrorBody;
use rutter_api::intent::Instance;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::*;

/// Owner -> intent, and how often something was put.
#[derive(Clone, Default)]
struct FakeBgpd(Published<(BTreeMap<String, Intent>, usize)>);

impl FakeBgpd {
    fn serve(&self, socket: &Path) -> JoinHandle<()> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        let app = Router::new()
            .route("/v1/intents", get(Self::list))
            .route("/v1/intents/{owner}", put(Self::put))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() })
    }

    #[expect(clippy::unused_async, reason = "axum takes async handlers only")]
    async fn list(State(bgpd): State<Self>) -> Json<Vec<IntentSummary>> {
        let summary = |(owner, intent): (&String, &Intent)| {
            let size = crate::status::Size::of(intent);
            IntentSummary {
                owner: owner.clone(),
                instances: size.instances,
                peers: size.peers,
                routes: size.routes,
                age_seconds: 0,
                hold_seconds: None,
            }
        };
        Json(bgpd.0.read(|(intents, _)| intents.iter().map(summary).collect()))
    }

    #[expect(clippy::unused_async, reason = "axum takes async handlers only")]
    async fn put(
        State(bgpd): State<Self>,
        UrlPath(owner): UrlPath<String>,
        Json(intent): Json<Intent>,
    ) -> Result<Json<Applied>, (StatusCode, Json<ErrorBody>)> {
        if intent.instances.iter().any(|instance| instance.local_asn == 666) {
            return Err((StatusCode::UNPROCESSABLE_ENTITY, Json(ErrorBody::new("not that one"))));
        }
        bgpd.0.update(|(intents, puts)| {
            intents.insert(owner, intent);
            *puts += 1;
        });
        Ok(Json(Applied::default()))
    }

    fn asn(&self) -> Option<u32> {
        self.0.read(|(intents, _)| Some(intents.get(OWNER)?.instances.first()?.local_asn))
    }

    fn puts(&self) -> usize {
        self.0.read(|(_, puts)| *puts)
    }
}

struct Lab {
    folder: tempfile::TempDir,
    bgpd: FakeBgpd,
    sender: watch::Sender<Option<Arc<Outcome>>>,
    state: Published<BgpdState>,
}

impl Lab {
    /// A pusher that runs, and a bgpd that does not yet.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sender, outcomes) = watch::channel(None);
        let state = Published::default();
        let client = Client::new(folder.path().join("bgpd.sock"));
        tokio::spawn(Pusher::new(client, outcomes, state.clone()).run());
        Self { folder, bgpd: FakeBgpd::default(), sender, state }
    }

    fn start_bgpd(&self) -> JoinHandle<()> {
        self.bgpd.serve(&self.folder.path().join("bgpd.sock"))
    }

    fn want(&self, asn: u32, certain: bool) {
        let instance = Instance {
            name: "i".to_owned(),
            local_asn: asn,
            router_id: [192, 0, 2, 1].into(),
            listen_port: None,
            listen_addresses: Vec::new(),
            peers: Vec::new(),
            routes: Vec::new(),
            maximum_paths: None,
            multipath_relax: false,
            peer_groups: Vec::new(),
            dynamic_peers: Vec::new(),
            graceful_restart: None,
            graceful_shutdown: false,
        };
        let intent = Arc::new(Intent { hold_seconds: None, instances: vec![instance] });
        self.sender.send_replace(Some(Arc::new(Outcome {
            intent,
            complete: true,
            certain,
            ..Outcome::default()
        })));
    }
}

/// Waits until something holds; five seconds are far more than any of it takes.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within five seconds");
}

#[tokio::test]
async fn puts_once_per_change() {
    let lab = Lab::new();
    let _server = lab.start_bgpd();
    lab.want(65001, true);
    until("the first intent", || lab.bgpd.asn() == Some(65001)).await;
    lab.want(65001, true);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(lab.bgpd.puts(), 1, "an equal intent is not put again");
    lab.want(65002, true);
    until("the second intent", || lab.bgpd.asn() == Some(65002)).await;
    assert!(lab.state.read(|state| state.reachable && !state.pending));
}

#[tokio::test]
async fn waits_for_bgpd_and_says_so() {
    let lab = Lab::new();
    lab.want(65001, true);
    until("an error", || lab.state.read(|state| state.error.is_some() && !state.reachable)).await;
    let _server = lab.start_bgpd();
    until("the intent", || lab.bgpd.asn() == Some(65001)).await;
    until("no error", || lab.state.read(|state| state.error.is_none() && state.reachable)).await;
}

#[tokio::test]
async fn puts_again_when_bgpd_lost_it() {
    let lab = Lab::new();
    let _server = lab.start_bgpd();
    lab.want(65001, true);
    until("the intent", || lab.bgpd.asn() == Some(65001)).await;
    lab.bgpd.0.update(|(intents, _)| intents.clear());
    until("the intent again", || lab.bgpd.asn() == Some(65001)).await;
}

#[tokio::test]
async fn a_refusal_waits_for_the_next_change() {
    let lab = Lab::new();
    let _server = lab.start_bgpd();
    lab.want(65001, true);
    until("the first intent", || lab.bgpd.asn() == Some(65001)).await;
    lab.want(666, true);
    until("the refusal", || lab.state.read(|state| state.error.is_some())).await;
    assert_eq!(lab.state.read(|state| state.error.clone()).as_deref(), Some("bgpd: not that one"));
    assert_eq!(lab.bgpd.asn(), Some(65001), "what was there stays");
    lab.want(65003, true);
    until("the next intent", || lab.bgpd.asn() == Some(65003)).await;
}

#[tokio::test]
async fn what_an_earlier_life_put_is_not_replaced_out_of_ignorance() {
    let lab = Lab::new();
    let _server = lab.start_bgpd();
    lab.want(65001, true);
    until("the intent of the earlier life", || lab.bgpd.asn() == Some(65001)).await;
    let (sender, outcomes) = watch::channel(None);
    let state = Published::default();
    let client = Client::new(lab.folder.path().join("bgpd.sock"));
    tokio::spawn(Pusher::new(client, outcomes, state.clone()).run());
    let later = Lab { folder: tempfile::tempdir().unwrap(), bgpd: lab.bgpd.clone(), sender, state };
    later.want(65002, false);
    until("holding back", || later.state.read(|state| state.held_back.is_some())).await;
    assert_eq!(lab.bgpd.asn(), Some(65001));
    later.want(65002, true);
    until("the new intent", || lab.bgpd.asn() == Some(65002)).await;
    assert!(later.state.read(|state| state.held_back.is_none()));
}

#[tokio::test]
async fn nothing_is_put_before_everything_was_read() {
    let lab = Lab::new();
    let _server = lab.start_bgpd();
    lab.sender.send_replace(Some(Arc::new(Outcome { certain: true, ..Outcome::default() })));
    until("waiting", || lab.state.read(|state| state.held_back.is_some())).await;
    assert_eq!(lab.bgpd.puts(), 0);
    lab.want(65001, true);
    until("the intent", || lab.bgpd.asn() == Some(65001)).await;
    assert!(lab.state.read(|state| state.held_back.is_none()));
}
