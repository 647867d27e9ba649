use std::sync::Mutex;

use super::*;

/// An API server of one Lease.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Lease>,
    version: u64,
    broken: bool,
    hanging: bool,
    writes: Vec<String>,
}

impl Server {
    async fn answer<R>(&self, act: impl FnOnce(&mut State) -> Result<R, Failure>) -> Result<R, Failure> {
        if self.0.lock().unwrap().hanging {
            std::future::pending::<()>().await;
        }
        let mut state = self.0.lock().unwrap();
        if state.broken {
            return Err(Failure::from_status(503, "storage is (re)initializing"));
        }
        act(&mut state)
    }
}

impl State {
    fn store(&mut self, lease: &Lease) -> Lease {
        self.version += 1;
        let mut lease = lease.clone();
        lease.metadata.resource_version = Some(self.version.to_string());
        lease.metadata.uid = Some("u".to_owned());
        self.lease = Some(lease.clone());
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
        self.writes.push(holder.unwrap_or_default());
        lease
    }
}

impl Transport for Server {
    async fn get(&self) -> Result<Option<Lease>, Failure> {
        self.answer(|state| Ok(state.lease.clone())).await
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, Failure> {
        self.answer(|state| match state.lease {
            Some(_) => Err(Failure::Conflict),
            None => Ok(state.store(lease)),
        })
        .await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, Failure> {
        self.answer(|state| {
            let current = state.lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
            if current != lease.metadata.resource_version {
                return Err(Failure::Conflict);
            }
            Ok(state.store(lease))
        })
        .await
    }
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

#[tokio::test(start_paused = true)]
async fn one_leads_the_other_follows_a_release() {
    let server = Server::default();
    let first = Elector::start(server.clone(), Settings::default(), "first");
    seconds(1).await;
    let second = Elector::start(server.clone(), Settings::default(), "second");
    seconds(60).await;
    assert!(first.leadership().token().is_some() && second.leadership().token().is_none());
    assert_eq!(second.leadership().standing().holder.as_deref(), Some("first"));
    let term = first.leadership().token().unwrap().transitions;
    first.release().await;
    seconds(2).await;
    assert!(second.leadership().token().unwrap().transitions > term);
}

#[tokio::test(start_paused = true)]
async fn labels_stay_when_the_lease_is_renewed() {
    let server = Server::default();
    let mut lease = Lease::default();
    lease.metadata.labels = Some([("team".to_owned(), "net".to_owned())].into());
    server.0.lock().unwrap().store(&lease);
    let elector = Elector::start(server.clone(), Settings::default(), "a");
    seconds(5).await;
    assert!(elector.leadership().token().is_some());
    let lease = server.0.lock().unwrap().lease.clone().unwrap();
    assert_eq!(lease.metadata.labels.unwrap()["team"], "net");
    assert!(lease.spec.unwrap().renew_time.is_some());
}

#[tokio::test(start_paused = true)]
async fn errors_and_a_hanging_server_end_the_term_in_time() {
    for hanging in [false, true] {
        let server = Server::default();
        let elector = Elector::start(server.clone(), Settings::default(), "a");
        let leadership = elector.leadership();
        seconds(5).await;
        assert!(leadership.token().is_some());
        {
            let mut state = server.0.lock().unwrap();
            (state.broken, state.hanging) = (!hanging, hanging);
        }
        seconds(8).await;
        assert!(leadership.token().is_some(), "one renewal ago is not long ago");
        seconds(2).await;
        assert!(leadership.token().is_none());
        let failure = leadership.standing().failure.unwrap();
        assert!(failure.contains(if hanging { "no answer within" } else { "503" }), "{failure}");
        {
            let mut state = server.0.lock().unwrap();
            (state.broken, state.hanging) = (false, false);
        }
        seconds(8).await;
        assert!(leadership.token().is_some(), "it comes back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_stood_still_finds_no_token() {
    let server = Server::default();
    let elector = Elector::start(server.clone(), Settings::default(), "a");
    let leadership = elector.leadership();
    seconds(5).await;
    assert!(leadership.token().is_some());
    // The clock jumps before any task of the runtime could run, as after SIGSTOP.
    server.0.lock().unwrap().hanging = true;
    let standing = leadership.standing();
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(standing.token().is_none());
}
