//! Tests of one reflector against a server that answers as a script says: what a real one does only now and then.

use std::time::Instant;

use rutter_crds::CiliumBGPPeerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::cluster::Connect;
use crate::cluster::Parts;
use crate::cluster::Scope;
use crate::cluster::watched::{Watched, sources};

/// What the server answers to a request: status, `Retry-After`, body; a stream without an end stays open.
struct Reply {
    status: u16,
    retry_after: Option<u32>,
    body: String,
    open: bool,
}

fn refusal(status: u16) -> Reply {
    let body = format!(
        "{{\"kind\":\"Status\",\"code\":{status},\"reason\":\"Because\",\"message\":\"the script says so\"}}"
    );
    Reply { status, retry_after: None, body, open: false }
}

fn whole(body: &str) -> Reply {
    Reply { status: 200, retry_after: None, body: body.to_owned(), open: false }
}

/// A watch: these events, and then nothing more, or the end.
fn watch(events: &[String], open: bool) -> Reply {
    Reply { status: 200, retry_after: None, body: events.concat(), open }
}

fn event(type_: &str, name: &str, version: u32, hold: &str) -> String {
    format!("{{\"type\":\"{type_}\",\"object\":{}}}\n", object(name, version, hold))
}

fn object(name: &str, version: u32, hold: &str) -> String {
    format!(
        "{{\"apiVersion\":\"cilium.io/v2\",\"kind\":\"CiliumBGPPeerConfig\",\"metadata\":{{\"name\":\"{name}\",\
         \"resourceVersion\":\"{version}\"}},\"spec\":{{\"timers\":{{\"holdTimeSeconds\":{hold}}}}}}}"
    )
}

/// The bookmark that ends the initial state.
fn complete(version: u32) -> String {
    format!(
        "{{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"{version}\",\
         \"annotations\":{{\"k8s.io/initial-events-end\":\"true\"}}}}}}}}\n"
    )
}

type Script = fn(&str, usize) -> Reply;

struct Stage {
    asked: Arc<Mutex<Vec<String>>>,
    store: Arc<Store>,
    account: Arc<Mutex<Account>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Stage {
    /// A reflector of CiliumBGPPeerConfigs, and a server that answers request after request as the script says.
    async fn new(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        let server = listener.local_addr().unwrap();
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: a, clusters: [{{name: c, cluster: {{server: 'http://{server}'}}}}], contexts: [{{name: a, context: {{cluster: c, user: u}}}}], users: [{{name: u, user: {{}}}}]}}"
        );
        std::fs::write(&file, text).unwrap();
        let connect = Connect { kubeconfig: Some(file), context: None };
        let cluster = Cluster::connect(&connect).await.unwrap();
        let asked = Arc::default();
        let (store, account) = (Arc::new(Store::new()), Arc::default());
        let all = sources(&Scope::Cluster(Parts { bgp: true, ..Parts::default() }), None);
        let source = all.into_iter().find(|source| source.watched == Watched::PeerConfig).unwrap();
        let tasks = vec![
            tokio::spawn(serve(listener, script, Arc::clone(&asked))),
            tokio::spawn(Reflector::new(&cluster, source, &store, &account).run()),
        ];
        Self { asked, store, account, tasks }
    }

    /// Name and hold time of everything in the store.
    fn held(&self) -> Vec<(String, u64)> {
        let hold = |config: &CiliumBGPPeerConfig| {
            let spec = serde_json::to_value(&config.spec).unwrap();
            spec["timers"]["holdTimeSeconds"].as_u64().unwrap()
        };
        let snapshot = self.store.snapshot();
        snapshot.peer_configs.iter().map(|(name, config)| (name.clone(), hold(config))).collect()
    }

    fn reasons(&self) -> Vec<&'static str> {
        let mut report = Report::default();
        self.account.lock().unwrap().report_to(&mut report);
        report.iter().map(|finding| finding.reason.name()).collect()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            let asked = self.asked.lock().unwrap().clone();
            assert!(start.elapsed() < Duration::from_secs(10), "{what}: {:?} {asked:#?}", self.held());
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_held(&self, expected: &[(&str, u64)]) {
        let expected: Vec<_> = expected.iter().map(|(name, hold)| ((*name).to_owned(), *hold)).collect();
        self.until("what is held", |stage| stage.held() == expected).await;
    }
}

async fn serve(listener: TcpListener, script: Script, asked: Arc<Mutex<Vec<String>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(answer(stream, script, Arc::clone(&asked)));
    }
}

/// One request per connection.
async fn answer(mut stream: TcpStream, script: Script, asked: Arc<Mutex<Vec<String>>>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let target = String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().to_owned();
    let number = {
        let mut asked = asked.lock().unwrap();
        asked.push(target.clone());
        asked.len()
    };
    let reply = script(&target, number);
    let retry = reply.retry_after.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
    let text = format!("HTTP/1.1 {} X\r\nConnection: close\r\n{retry}\r\n{}", reply.status, reply.body);
    stream.write_all(text.as_bytes()).await.unwrap();
    if reply.open {
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn pages_where_the_server_cannot_stream() {
    let stage = Stage::new(|target, _| {
        if target.contains("sendInitialEvents") {
            return refusal(422);
        }
        if target.contains("watch=true") {
            assert!(target.contains("resourceVersion=7"), "{target}");
            return watch(&[event("MODIFIED", "b", 8, "12")], true);
        }
        let (name, next) = if target.contains("continue=more") { ("b", "") } else { ("a", "more") };
        let item = object(name, 5, "9");
        whole(&format!(
            "{{\"metadata\":{{\"resourceVersion\":\"7\",\"continue\":\"{next}\"}},\"items\":[{item}]}}"
        ))
    })
    .await;
    stage.until_held(&[("a", 9), ("b", 12)]).await;
    assert_eq!(stage.account.lock().unwrap().standing, Standing::Listed);
    assert_eq!(stage.asked.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_server_that_names_a_time_is_given_it() {
    let stage = Stage::new(|_, number| match number {
        1 => Reply { retry_after: Some(1), ..refusal(429) },
        _ => watch(&[event("ADDED", "a", 1, "9"), complete(2)], true),
    })
    .await;
    let start = Instant::now();
    stage.until("the finding", |stage| stage.reasons() == ["ApiUnavailable"]).await;
    stage.until_held(&[("a", 9)]).await;
    assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
    assert_eq!(stage.reasons(), [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_read_keeps_its_last_good_version() {
    let stage = Stage::new(|target, number| match number {
        1 => {
            let events = [
                event("ADDED", "a", 1, "9"),
                event("ADDED", "b", 1, "\"nine\""),
                complete(2),
                event("MODIFIED", "a", 3, "\"ten\""),
                event("ADDED", "c", 4, "9"),
            ];
            watch(&events, false)
        }
        _ => {
            assert!(target.contains("resourceVersion=4"), "goes on where it was: {target}");
            sleepy(watch(&[event("MODIFIED", "a", 5, "11")], true))
        }
    })
    .await;
    stage.until_held(&[("a", 9), ("c", 9)]).await;
    stage.until("two findings", |stage| stage.reasons() == ["ObjectUndecodable"; 2]).await;
    stage.until_held(&[("a", 11), ("c", 9)]).await;
    stage.until("one finding", |stage| stage.reasons() == ["ObjectUndecodable"]).await;
}

/// Later, so that what was before can be seen.
fn sleepy(reply: Reply) -> Reply {
    std::thread::sleep(Duration::from_millis(100));
    reply
}

#[tokio::test]
async fn an_expired_watch_reads_the_state_again_and_nothing_is_missing_meanwhile() {
    let stage = Stage::new(|target, number| match number {
        1 => watch(&[event("ADDED", "a", 1, "9"), event("ADDED", "b", 1, "9"), complete(2)], false),
        2 => {
            assert!(target.contains("resourceVersion=2"), "{target}");
            watch(
                &[String::from("{\"type\":\"ERROR\",\"object\":{\"code\":410,\"reason\":\"Expired\"}}\n")],
                false,
            )
        }
        // The first attempt breaks off in the middle: it must not count.
        3 => watch(&[event("ADDED", "b", 9, "12")], false),
        _ => {
            assert!(target.contains("sendInitialEvents"), "{target}");
            sleepy(watch(&[event("ADDED", "b", 9, "12"), complete(10)], true))
        }
    })
    .await;
    stage.until_held(&[("a", 9), ("b", 9)]).await;
    stage
        .until("the new state", |stage| {
            stage.held() == [("b".to_owned(), 12)] || {
                assert_eq!(stage.held().len(), 2, "the store is never poorer than it must be");
                false
            }
        })
        .await;
    assert_eq!(stage.account.lock().unwrap().restarts, 3);
}

#[tokio::test]
async fn the_older_version_where_the_newer_is_not_served() {
    let stage = Stage::new(|target, _| {
        if target.starts_with("/apis/cilium.io/v2/") {
            return refusal(404);
        }
        watch(&[event("ADDED", "a", 1, "9").replace("/v2\"", "/v2alpha1\""), complete(2)], true)
    })
    .await;
    stage.until_held(&[("a", 9)]).await;
    assert_eq!(stage.account.lock().unwrap().version, "v2alpha1");
}

#[tokio::test]
async fn a_definite_no_is_an_answer_and_is_asked_again() {
    let stage = Stage::new(|_, number| match number {
        1 | 2 => refusal(404),
        3 => refusal(403),
        4 => refusal(503),
        _ => watch(&[complete(2)], true),
    })
    .await;
    let standing = |stage: &Stage| stage.account.lock().unwrap().standing;
    stage.until("not served", |stage| standing(stage) == Standing::NotServed).await;
    assert_eq!(stage.reasons(), ["KindNotServed"]);
    stage.until("forbidden", |stage| standing(stage) == Standing::Forbidden).await;
    stage.until("read", |stage| standing(stage) == Standing::Listed && stage.reasons().is_empty()).await;
}

#[tokio::test]
async fn a_new_round_reads_from_the_beginning_while_everything_stays() {
    let stage = Stage::new(|target, number| {
        assert!(target.contains("sendInitialEvents"), "{target}");
        match number {
            1 => watch(&[event("ADDED", "a", 1, "9"), event("ADDED", "b", 1, "9"), complete(2)], true),
            _ => sleepy(watch(&[event("ADDED", "b", 3, "12"), complete(4)], true)),
        }
    })
    .await;
    stage.until_held(&[("a", 9), ("b", 9)]).await;
    assert_eq!(stage.account.lock().unwrap().round, Some(0));
    stage.account.lock().unwrap().asked.send_modify(|round| *round += 1);
    sleep(Duration::from_millis(30)).await;
    assert_eq!(stage.held().len(), 2, "what was read stays until the new state is complete");
    assert_eq!(stage.account.lock().unwrap().round, Some(0));
    stage.until_held(&[("b", 12)]).await;
    stage.until("the round", |stage| stage.account.lock().unwrap().round == Some(1)).await;
}
