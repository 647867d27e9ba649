//! The connection: where the API server is and who we are, from a kubeconfig or from the pod we run in.
//!
//! Connecting asks nothing of the server: an agent that starts during an outage starts all the same.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::guard::{Bodies, Guard};
use super::pulse::Pulse;
use super::requests::{RequestCount, Requests};

/// Longest time for a TCP and TLS connection to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Set in every pod: where the API server is.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// Which cluster, and as whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// The kubeconfig file. Absent: the pod's service account if this is a pod, else `$KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it. Absent: the current one.
    pub context: Option<String>,
}

/// Why there is no connection to even try.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file cannot be used.
    #[error("cannot use the kubeconfig {path}: {}; give another one with --kubeconfig PATH", chain(.cause))]
    Kubeconfig {
        /// The file, or where it was looked for.
        path: String,
        /// What is wrong with it.
        cause: KubeconfigError,
    },
    /// The context cannot be used.
    #[error(
        "cannot use the context {context} of the kubeconfig {path}: {}; it has: {known}. Choose with --context NAME",
        chain(.cause)
    )]
    Context {
        /// The context that was asked for.
        context: String,
        /// The file.
        path: String,
        /// The contexts of the file.
        known: String,
        /// What is wrong with it.
        cause: KubeconfigError,
    },
    /// In a pod, and its service account cannot be used.
    #[error(
        "cannot use the service account of this pod: {cause}; mount one (automountServiceAccountToken), or give --kubeconfig PATH"
    )]
    ServiceAccount {
        /// What is missing.
        cause: String,
    },
    /// Certificates or keys cannot be used.
    #[error(
        "cannot make a connection to {server}: {cause}; check certificate-authority, client-certificate and client-key of the kubeconfig"
    )]
    Credentials {
        /// The server's URL.
        server: String,
        /// What is wrong.
        cause: String,
    },
}

/// A connection to one API server. Cheap to clone; all clones share counters.
#[derive(Clone)]
pub struct Cluster {
    pub(super) shared: Arc<Shared>,
    /// Asked before a write leaves the process.
    pub(super) guard: Option<Guard>,
}

pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) bodies: Bodies,
    pub(super) server: String,
    pub(super) requests: Requests,
    pub(super) pulse: Pulse,
}

impl Cluster {
    /// Prepares the connection. The server is not asked anything yet.
    ///
    /// # Errors
    /// See [`ConnectError`]: nothing there says that a server is away.
    pub async fn connect(connect: &Connect) -> Result<Self, ConnectError> {
        let mut config = connect.config().await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // We retry ourselves: with one backoff per kind, and every request counted.
        config.default_retry = false;
        let server = config.cluster_url.to_string();
        let credentials =
            |error: kube::Error| ConnectError::Credentials { server: server.clone(), cause: chain(&error) };
        let client = ClientBuilder::try_from(config).map_err(credentials)?.build();
        let server = server.trim_end_matches('/').to_owned();
        let (bodies, requests, pulse) = (Bodies::new(), Requests::default(), Pulse::new());
        let shared = Shared { client, bodies, server, requests, pulse };
        Ok(Self { shared: Arc::new(shared), guard: None })
    }

    /// The same connection for somebody who may write only as long as the guard says so.
    #[must_use]
    pub fn guarded(&self, guard: Guard) -> Self {
        Self { shared: Arc::clone(&self.shared), guard: Some(guard) }
    }

    /// The URL of the API server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.shared.server
    }

    /// All requests made through this connection so far.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestCount> {
        self.shared.requests.read()
    }
}

impl Connect {
    async fn config(&self) -> Result<Config, ConnectError> {
        if self.kubeconfig.is_none() && self.context.is_none() && std::env::var_os(IN_CLUSTER).is_some() {
            return Config::incluster()
                .map_err(|error| ConnectError::ServiceAccount { cause: chain(&error) });
        }
        let path = self.place();
        let read = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let file = read.map_err(|cause| ConnectError::Kubeconfig { path: path.clone(), cause })?;
        let known: Vec<String> = file.contexts.iter().map(|context| context.name.clone()).collect();
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        Config::from_custom_kubeconfig(file, &options).await.map_err(|cause| match &self.context {
            Some(context) => {
                let (context, known) = (context.clone(), known.join(", "));
                ConnectError::Context { context, path, known, cause }
            }
            None => ConnectError::Kubeconfig { path, cause },
        })
    }

    /// Where the kubeconfig is, for messages.
    fn place(&self) -> String {
        match &self.kubeconfig {
            Some(file) => file.display().to_string(),
            None => std::env::var("KUBECONFIG").unwrap_or_else(|_unset| "~/.kube/config".to_owned()),
        }
    }
}

/// An error with its causes, each once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let text = whole(error);
    // rustls explains this one with a link to its manual.
    if text.contains("close_notify") {
        return "it closed the connection".to_owned();
    }
    text.strip_prefix("ServiceError: ").map_or_else(|| text.clone(), str::to_owned)
}

fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {token: geheim}}]\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n";

    async fn error_of(text: Option<&str>, context: Option<&str>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let connect = Connect { kubeconfig: Some(file), context: context.map(str::to_owned) };
        Cluster::connect(&connect).await.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[tokio::test]
    async fn errors_say_what_to_do() {
        let error = error_of(None, None).await;
        assert!(error.contains("No such file") && error.contains("--kubeconfig PATH"), "{error}");
        let error = error_of(Some(FILE), Some("b")).await;
        assert!(error.contains("it has: a. Choose with --context NAME"), "{error}");
        let error = error_of(Some("{"), None).await;
        assert!(error.contains("--kubeconfig PATH"), "{error}");
        assert_eq!(error_of(Some(FILE), None).await, "", "a server that is away is no error yet");
    }
}
