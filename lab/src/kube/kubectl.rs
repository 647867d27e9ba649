//! kubectl against the control plane, as a user would run it, and other people's credentials.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::host::{Host, Ran};
use crate::kube::{ControlPlane, write_kubeconfig};
use crate::wait::wait_for;

/// How long a kind may take to be served on a busy machine.
const SERVED: Duration = Duration::from_secs(30);

impl ControlPlane {
    /// Runs kubectl as the administrator; its failure is an error with what it said.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        let ran = self.try_kubectl(args)?;
        ensure!(ran.success, "`kubectl {}` failed: {}{}", args.join(" "), ran.stdout, ran.stderr.trim_end());
        Ok(ran.stdout)
    }

    /// Runs kubectl as the administrator; its failure is for the caller to judge.
    pub fn try_kubectl(&self, args: &[&str]) -> Result<Ran> {
        let program = self.binaries().program("kubectl")?.display().to_string();
        let words: Vec<&str> = std::iter::once(program.as_str()).chain(args.iter().copied()).collect();
        self.run_on(self.host(), &words)
    }

    /// Runs any program on an attached host, in an environment where `KUBECONFIG` leads here and `PATH` has kubectl and rutter's own
    /// programs (also as its plugins).
    pub fn run_on(&self, host: &Host, argv: &[&str]) -> Result<Ran> {
        let environment = self.environment();
        let words: Vec<&str> = std::iter::once("env")
            .chain(environment.iter().map(String::as_str))
            .chain(argv.iter().copied())
            .collect();
        host.run(&words)
    }

    /// `KEY=VALUE` for programs that are to talk to this control plane.
    #[must_use]
    pub fn environment(&self) -> Vec<String> {
        let mut path = vec![self.binaries().folder().to_owned()];
        path.extend(
            crate::rutter_binary("rutterctl").ok().and_then(|file| file.parent().map(Path::to_owned)),
        );
        path.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        let path = std::env::join_paths(path).unwrap_or_default();
        vec![
            format!("KUBECONFIG={}", self.kubeconfig().display()),
            // kubectl keeps what it learns of a server there, by the server's address, which all control planes share.
            format!("HOME={}", self.folder().display()),
            format!("PATH={}", path.display()),
        ]
    }

    /// `kubectl apply -f` of this text.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        let file = self.scratch("yaml");
        fs::write(&file, yaml)?;
        self.apply_file(&file)
    }

    /// `kubectl apply -f` of a file, or of all files in a folder.
    pub fn apply_file(&self, path: &Path) -> Result<String> {
        self.kubectl(&["apply", "-f", &path.display().to_string()])
    }

    /// An object as JSON, cluster-wide or in the namespace `default`. `kind` as kubectl understands it.
    pub fn get(&self, kind: &str, name: &str) -> Result<Value> {
        self.get_in("default", kind, name)
    }

    /// An object in a namespace as JSON.
    pub fn get_in(&self, namespace: &str, kind: &str, name: &str) -> Result<Value> {
        parse(&self.kubectl(&["get", "-n", namespace, kind, name, "-o", "json"])?)
    }

    /// All objects of a kind, in all namespaces.
    pub fn list(&self, kind: &str) -> Result<Vec<Value>> {
        let list = parse(&self.kubectl(&["get", "-A", kind, "-o", "json"])?)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Deletes an object, cluster-wide or in the namespace `default`, and waits until it has gone.
    pub fn delete(&self, kind: &str, name: &str) -> Result<()> {
        self.delete_in("default", kind, name)
    }

    /// Deletes an object in a namespace and waits until it has gone.
    pub fn delete_in(&self, namespace: &str, kind: &str, name: &str) -> Result<()> {
        let mut words = vec!["delete", "-n", namespace, kind, name, "--wait=true", "--timeout=30s"];
        if kind == "pod" {
            // There is no kubelet that would say that the pod has ended.
            words.extend(["--force", "--grace-period=0"]);
        }
        self.kubectl(&words).map(drop)
    }

    /// Installs every CustomResourceDefinition in a folder (or file), by server-side apply, and waits until objects of each can
    /// be listed and watched.
    pub fn install_crds(&self, path: &Path) -> Result<()> {
        let path = path.display().to_string();
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &path])?;
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", &path])?;
        let installed = parse(&self.kubectl(&["get", "-f", &path, "-o", "json"])?)?;
        let several = installed["items"].as_array().map(Vec::as_slice);
        for definition in several.unwrap_or_else(|| std::slice::from_ref(&installed)) {
            self.wait_listed(&definition["spec"])?;
        }
        Ok(())
    }

    /// Established is not the end: what serves watches is made when somebody first asks, and answers 429 until it is ready.
    fn wait_listed(&self, spec: &Value) -> Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let versions = spec["versions"].as_array().into_iter().flatten();
        for version in versions.filter(|version| version["served"] == true) {
            let (group, version, plural) =
                (text(&spec["group"]), text(&version["name"]), text(&spec["names"]["plural"]));
            let target = format!("/apis/{group}/{version}/{plural}?resourceVersion=0");
            wait_for(SERVED, &format!("{plural} {version} to be served"), || {
                let reply = self.request("GET", &target, None)?;
                ensure!(reply.status == 200, "GET {target} answers {}: {}", reply.status, reply.body);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// A token of a service account that exists, valid for a day.
    pub fn token(&self, namespace: &str, service_account: &str) -> Result<String> {
        let token = self.kubectl(&["create", "token", "-n", namespace, service_account, "--duration=24h"])?;
        Ok(token.trim().to_owned())
    }

    /// A kubeconfig with a token of a service account that exists: what may be done with it, RBAC decides.
    pub fn kubeconfig_for(&self, namespace: &str, service_account: &str) -> Result<PathBuf> {
        let token = self.token(namespace, service_account)?;
        let path = self.scratch("kubeconfig");
        write_kubeconfig(&path, self.folder(), service_account, &token)?;
        Ok(path)
    }

    fn scratch(&self, extension: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.folder().join(format!("{number}.{extension}"))
    }
}

fn parse(json: &str) -> Result<Value> {
    serde_json::from_str(json).with_context(|| format!("kubectl printed no JSON: {json}"))
}
