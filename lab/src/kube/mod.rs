//! A real Kubernetes control plane on a host of its own: etcd, kube-apiserver, kubectl and, when asked for, kube-controller-manager.
//!
//! There is no kubelet and no scheduler: nodes, pods' status and, without the controller manager, EndpointSlices are written by
//! the test, see [`ControlPlane::write_node`] and its neighbours.
//!
//! The server has the address [`SERVER`] on its host. [`ControlPlane::attach`] lays a cable to another host, over which that host
//! reaches the server and the server reaches the addresses of the host's pods (its pod proxy dials them). Every cable has
//! a network of its own out of 100.64.0.0/10, so tests that share a control plane do not meet.
//!
//! Measured on two busy processors: ready 3 to 6 s after [`ControlPlane::start`], the server restarted in 3 s; 310 MB (server), 45 MB
//! (etcd) and 85 MB (controller manager) resident; 50 to 110 ms per kubectl call, 2 ms per write on one [`ControlPlane::connection`].
//!
//! Invariant: as with everything in a lab, nothing of it outlives the [`ControlPlane`], or the process that made it.

mod binaries;
mod cable;
mod kubectl;
mod objects;

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use crate::daemon::Daemon;
use crate::host::Host;
use crate::http::{HttpConnection, HttpReply};
use crate::lab::Lab;
use crate::wait::wait_for;

pub use binaries::Binaries;
pub use cable::Attachment;
pub use objects::{EndpointSlice, Node, Pod};

/// The address of every control plane's server, on its own host.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
/// The port of every control plane's server.
pub const SERVER_PORT: u16 = 6443;

const ETCD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2379);
const ETCD_URL: &str = "http://127.0.0.1:2379";
const ETCD_PEER_URL: &str = "http://127.0.0.1:2380";
/// How long a component may take on a machine that does a lot besides.
const START: Duration = Duration::from_secs(90);

/// A process of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// kube-controller-manager, if it was started.
    ControllerManager,
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    binaries: &'static Binaries,
    host: Host,
    manager: Mutex<Option<Daemon>>,
    proxy: Daemon,
    server: Mutex<Daemon>,
    etcd: Daemon,
    cables: AtomicU32,
    files: AtomicU32,
    // Last, so that it is dropped last. None if the control plane lives in somebody else's lab.
    lab: Option<Lab>,
}

impl ControlPlane {
    /// The one that the tests of this process share. It goes with the process, whatever ends that.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| Self::start("shared", &[]).map_err(|error| format!("{error:#}")))
            .as_ref()
            .map_err(|error| anyhow!("the shared control plane did not start: {error}"))
    }

    /// One of its own, with these options for kube-apiserver besides its usual ones. `name` appears in folders' names.
    pub fn start(name: &str, server_options: &[&str]) -> Result<Self> {
        let lab = Lab::new(name)?;
        let mut started =
            Self::in_lab(&lab, server_options).map_err(|error| anyhow!("{error:#}\n{}", lab.logs()))?;
        started.lab = Some(lab);
        Ok(started)
    }

    /// One on a new host `kubernetes` of this lab, which it must not outlive.
    pub fn in_lab(lab: &Lab, server_options: &[&str]) -> Result<Self> {
        let binaries = Binaries::find_or_build()?;
        let host = lab.host("kubernetes")?;
        host.ip(&["addr", "add", &format!("{SERVER}/32"), "dev", "lo"])?;
        let folder = host.folder();
        write_keys(folder)?;
        let etcd = etcd(&host, binaries)?;
        let server = api_server(&host, binaries, server_options)?;
        write_kubeconfig(&folder.join("kubeconfig"), folder, "admin", &read_token(folder)?)?;
        let proxy = proxy(&host, binaries)?;
        let started = Self {
            binaries,
            host,
            manager: Mutex::new(None),
            proxy,
            server: Mutex::new(server),
            etcd,
            cables: AtomicU32::new(0),
            files: AtomicU32::new(0),
            lab: None,
        };
        started.etcd.start()?;
        started.wait_for_etcd()?;
        started.server().start()?;
        // The proxy reads the server's certificate, which the server makes for itself before it listens.
        let at = SocketAddr::new(SERVER.into(), SERVER_PORT);
        started.server().wait_ready(START, || started.host.enter(|| HttpConnection::tcp(at).map(drop))?)?;
        started.proxy.start()?;
        started.wait_for_server()?;
        Ok(started)
    }

    /// The host it runs on.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// A kubeconfig of an administrator (group `system:masters`, a bearer token), for any attached host.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder().join("kubeconfig")
    }

    /// The URL of the server, for any attached host.
    #[must_use]
    pub fn url(&self) -> String {
        server_url()
    }

    /// The programs it was started from.
    #[must_use]
    pub const fn binaries(&self) -> &'static Binaries {
        self.binaries
    }

    /// A connection to the API with an administrator's rights, plain HTTP through a `kubectl proxy`, from any thread, without
    /// entering a namespace: for tests that write a lot. It carries requests one after the other; open several.
    pub fn connection(&self) -> Result<HttpConnection> {
        HttpConnection::unix(&self.proxy_socket())
    }

    /// One request to the API with an administrator's rights, whatever its status.
    pub fn request(&self, method: &str, target: &str, body: Option<&str>) -> Result<HttpReply> {
        self.connection()?.request(method, target, body)
    }

    /// The process id of a component, for whoever measures it.
    pub fn pid(&self, component: Component) -> Result<u32> {
        self.with(component, Daemon::pid)
    }

    /// Everything that a component has printed.
    pub fn log(&self, component: Component) -> Result<String> {
        self.with(component, |daemon| Ok(daemon.log()))
    }

    /// The ends of the logs of all components, for a person who looks at a failure.
    #[must_use]
    pub fn logs(&self) -> String {
        self.lab.as_ref().map(Lab::logs).unwrap_or_default()
    }

    /// Freezes a component: its sockets stay open, nothing answers.
    pub fn pause(&self, component: Component) -> Result<()> {
        self.with(component, Daemon::pause)
    }

    /// Wakes a frozen component.
    pub fn resume(&self, component: Component) -> Result<()> {
        self.with(component, Daemon::resume)
    }

    /// Kills a component as a crash would; clients of the server are refused from then on.
    pub fn kill(&self, component: Component) -> Result<()> {
        self.with(component, Daemon::kill)
    }

    /// Starts a component that was killed, or kills and starts it, and waits until it serves.
    pub fn restart(&self, component: Component) -> Result<()> {
        self.with(component, |daemon| {
            if daemon.pid().is_ok() {
                daemon.kill()?;
            }
            daemon.start()
        })?;
        match component {
            Component::Etcd => self.wait_for_etcd(),
            Component::ApiServer => self.wait_for_server(),
            Component::ControllerManager => Ok(()),
        }
    }

    /// Restarts the API server with other options than its usual ones and those it was started with.
    pub fn restart_server_with(&self, options: &[&str]) -> Result<()> {
        {
            let mut server = self.server();
            if server.pid().is_ok() {
                server.kill()?;
            }
            *server = api_server(&self.host, self.binaries, options)?;
            server.start()?;
        }
        self.wait_for_server()
    }

    /// Starts kube-controller-manager unless it runs: it makes EndpointSlices from Services and ready Pods, collects what an
    /// owner leaves behind, and empties deleted namespaces.
    pub fn controller_manager(&self) -> Result<()> {
        let mut manager = self.manager();
        if manager.is_some() {
            return Ok(());
        }
        let controllers = [
            "endpointslice-controller",
            "endpointslice-mirroring-controller",
            "garbage-collector-controller",
            "namespace-controller",
            "serviceaccount-controller",
        ];
        let args = vec![
            option("kubeconfig", &self.kubeconfig()),
            option("service-account-private-key-file", &self.folder().join("sa.key")),
            "--leader-elect=false".into(),
            "--bind-address=127.0.0.1".into(),
            format!("--controllers={}", controllers.join(",")),
        ];
        let program = self.binaries.program("kube-controller-manager")?;
        let daemon = Daemon::new(&self.host, "kube-controller-manager", &program, words(args));
        daemon.start()?;
        *manager = Some(daemon);
        Ok(())
    }

    /// Lets everything run on after this process; the lab that it lives in has to do the same.
    pub fn leave_running(self) {
        self.etcd.leave_running();
        self.server.into_inner().unwrap_or_else(PoisonError::into_inner).leave_running();
        self.proxy.leave_running();
        if let Some(manager) = self.manager.into_inner().unwrap_or_else(PoisonError::into_inner) {
            manager.leave_running();
        }
    }

    fn folder(&self) -> &Path {
        self.host.folder()
    }

    fn proxy_socket(&self) -> PathBuf {
        self.folder().join("api.sock")
    }

    fn server(&self) -> MutexGuard<'_, Daemon> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manager(&self) -> MutexGuard<'_, Option<Daemon>> {
        self.manager.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, component: Component, work: impl FnOnce(&Daemon) -> Result<T>) -> Result<T> {
        match component {
            Component::Etcd => work(&self.etcd),
            Component::ApiServer => work(&self.server()),
            Component::ControllerManager => work(self.manager().as_ref().context(
                "kube-controller-manager was never started: ControlPlane::controller_manager starts it",
            )?),
        }
    }

    fn wait_for_etcd(&self) -> Result<()> {
        self.etcd.wait_ready(START, || {
            let reply = self.host.http(ETCD, "GET", "/health", None)?;
            ensure!(reply.status == 200, "its health is {}: {}", reply.status, reply.body);
            Ok(())
        })
    }

    fn wait_for_server(&self) -> Result<()> {
        wait_for(START, "kube-apiserver to be ready", || {
            self.server().ensure_running()?;
            let reply = self.request("GET", "/readyz", None)?;
            ensure!(reply.status == 200, "/readyz answers {}: {}", reply.status, reply.body);
            // The server makes it for itself, after it says that it is ready.
            let reply = self.request("GET", "/api/v1/namespaces/default", None)?;
            ensure!(reply.status == 200, "namespace default: {}", reply.body);
            Ok(())
        })
        .map_err(|error| error.context(self.server().log()))
    }
}

fn server_url() -> String {
    format!("https://{SERVER}:{SERVER_PORT}")
}

fn option(name: &str, value: &Path) -> String {
    format!("--{name}={}", value.display())
}

fn words(args: Vec<String>) -> Vec<std::ffi::OsString> {
    args.into_iter().map(Into::into).collect()
}

fn etcd(host: &Host, binaries: &Binaries) -> Result<Daemon> {
    let args = vec![
        option("data-dir", &host.folder().join("etcd")),
        format!("--listen-client-urls={ETCD_URL}"),
        format!("--advertise-client-urls={ETCD_URL}"),
        format!("--listen-peer-urls={ETCD_PEER_URL}"),
        format!("--initial-advertise-peer-urls={ETCD_PEER_URL}"),
        format!("--initial-cluster=default={ETCD_PEER_URL}"),
        // What it holds is not worth a disk's patience.
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ];
    Ok(Daemon::new(host, "etcd", &binaries.program("etcd")?, words(args)))
}

fn api_server(host: &Host, binaries: &Binaries, options: &[&str]) -> Result<Daemon> {
    let folder = host.folder();
    let key = folder.join("sa.key");
    let mut args = vec![
        format!("--etcd-servers={ETCD_URL}"),
        "--bind-address=0.0.0.0".into(),
        format!("--advertise-address={SERVER}"),
        format!("--secure-port={SERVER_PORT}"),
        option("cert-dir", &folder.join("certs")),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        option("service-account-key-file", &key),
        option("service-account-signing-key-file", &key),
        option("token-auth-file", &folder.join("tokens.csv")),
        "--authorization-mode=RBAC".into(),
        "--service-cluster-ip-range=10.96.0.0/12".into(),
        // Nobody makes the accounts' tokens for pods that nobody runs.
        "--disable-admission-plugins=ServiceAccount".into(),
    ];
    args.extend(options.iter().map(|option| (*option).to_owned()));
    Ok(Daemon::new(host, "kube-apiserver", &binaries.program("kube-apiserver")?, words(args)))
}

fn proxy(host: &Host, binaries: &Binaries) -> Result<Daemon> {
    let folder = host.folder();
    let args = vec![
        "proxy".into(),
        option("kubeconfig", &folder.join("kubeconfig")),
        option("unix-socket", &folder.join("api.sock")),
    ];
    Ok(Daemon::new(host, "kubectl-proxy", &binaries.program("kubectl")?, words(args)))
}

/// The key that signs service accounts' tokens, and the administrator's token.
fn write_keys(folder: &Path) -> Result<()> {
    let key = folder.join("sa.key");
    let output = Command::new("openssl")
        .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"])
        .arg(&key)
        .output()
        .context("starting `openssl`: is it installed?")?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    let mut random = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(folder.join("tokens.csv"), format!("{token},admin,1,\"system:masters\"\n"))?;
    Ok(())
}

fn read_token(folder: &Path) -> Result<String> {
    let tokens = fs::read_to_string(folder.join("tokens.csv"))?;
    Ok(tokens.split(',').next().unwrap_or_default().to_owned())
}

/// Writes a kubeconfig with this token. The server's certificate is made by the server when it first starts.
fn write_kubeconfig(path: &Path, folder: &Path, user: &str, token: &str) -> Result<()> {
    let certificate = folder.join("certs/apiserver.crt");
    let (certificate, url) = (certificate.display(), server_url());
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
         clusters:\n- name: lab\n  cluster: {{server: \"{url}\", certificate-authority: \"{certificate}\"}}\n\
         users:\n- name: {user}\n  user: {{token: \"{token}\"}}\n\
         contexts:\n- name: lab\n  context: {{cluster: lab, user: {user}}}\n"
    );
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
