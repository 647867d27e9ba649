//! Where kube-apiserver, etcd, kubectl and kube-controller-manager come from: a folder that `KUBEBUILDER_ASSETS` names, else a cache that
//! the ordinary Go client fills once, see `tools/kubernetes`. Neither is an error that names both ways out, never a skipped test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};

use crate::go_tools::GoTools;

/// The variable by which other Kubernetes projects' tests find the same programs.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

const TOOLS: GoTools = GoTools {
    name: "kubernetes",
    module: "k8s.io/kubernetes",
    programs: &[
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("etcd", "go.etcd.io/etcd/server/v3"),
    ],
    // Without it the server calls itself something that kubectl cannot parse.
    version_variable: Some("k8s.io/component-base/version.gitVersion"),
};

const OTHER_WAY: &str =
    "set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, kubectl and kube-controller-manager";

/// The programs of a control plane.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// The programs, built if necessary; the first call decides for the whole process.
    pub fn find_or_build() -> Result<&'static Self> {
        static FOUND: OnceLock<Result<Binaries, String>> = OnceLock::new();
        FOUND
            .get_or_init(|| find_or_build().map_err(|error| format!("{error:#}")))
            .as_ref()
            .map_err(|error| anyhow!("{error}"))
    }

    /// Where [`Self::find_or_build`] would look, and whether the programs are there: for a command that says what it does.
    pub fn whereabouts() -> Result<(PathBuf, bool)> {
        match std::env::var_os(ASSETS) {
            Some(folder) => Ok((folder.into(), true)),
            None => Ok((TOOLS.cache()?, TOOLS.built().is_some())),
        }
    }

    /// The folder they are in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one of them.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        ensure!(
            path.is_file(),
            "there is no {}: put a {name} there, or unset {ASSETS} and let Go build all of them",
            path.display()
        );
        Ok(path)
    }
}

fn find_or_build() -> Result<Binaries> {
    let folder = match std::env::var_os(ASSETS) {
        Some(folder) => PathBuf::from(folder),
        None => TOOLS.find_or_build(OTHER_WAY)?,
    };
    let binaries = Binaries { folder };
    for name in ["etcd", "kube-apiserver", "kubectl"] {
        binaries.program(name).with_context(|| format!("looking into {}", binaries.folder.display()))?;
    }
    Ok(binaries)
}
