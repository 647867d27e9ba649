//! The control plane that tests share, with the custom resources installed.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use rutter_lab::kube::ControlPlane;

/// The shared control plane with the custom resources that rutter reads.
pub(crate) fn shared() -> Result<&'static ControlPlane> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    let cluster = ControlPlane::shared()?;
    INSTALLED
        .get_or_init(|| install(cluster).map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow!("{error}"))?;
    Ok(cluster)
}

/// A control plane of one's own with the custom resources that rutter reads, and these options for its server.
pub(crate) fn private(name: &str, server_options: &[&str]) -> Result<ControlPlane> {
    let cluster = ControlPlane::start(name, server_options)?;
    install(&cluster)?;
    Ok(cluster)
}

/// A file or folder of the checkout.
pub(crate) fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Cilium's own definitions, byte by byte: ours are in `deploy/crds`.
pub(crate) fn real_crds() -> PathBuf {
    checkout("k8s-sync/crds/tests/data")
}

/// Ours for the kinds that we install, Cilium's for those that we only read.
fn install(cluster: &ControlPlane) -> Result<()> {
    for read_only in ["ciliumnodes.yaml", "ciliumpodippools.yaml"] {
        cluster.install_crds(&real_crds().join(read_only))?;
    }
    cluster.install_crds(&checkout("deploy/crds"))
}
