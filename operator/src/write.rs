//! Carrying out one change at the API server.
//!
//! Invariant: nothing is sent without a token of the current term, asked for right before, and once more where the request goes
//! to the socket ([`k8s_sync::cluster::Guard`]). Whatever is sent to an existing
//! object carries the version it was computed from, and a new object is created and nothing else: the name must be free. So
//! a write that was on its way when the term ended cannot undo what the next leader wrote.

use k8s_sync::cluster::{Address, ApiError, Cluster, Preconditions};
use kube_lease::Leadership;
use serde_json::{Value, json};

use crate::changes::{Act, Change, Version};
use crate::ownership::taken_over;

/// Field managers, one per controller, as `kubectl get --show-managed-fields` shows them.
const NODE_CONFIGS: &str = "rutter-operator-node-configs";
const CONDITIONS: &str = "rutter-operator-conditions";

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// This process does not lead (any more).
    #[error("not the leader any more")]
    Deposed,
    /// The API server said no, or nothing.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Writes, as long as it leads.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) cluster: Cluster,
    pub(crate) leadership: Leadership,
    /// The version of Cilium's kinds that the server has.
    pub(crate) api_version: &'static str,
}

impl Writer {
    /// Makes the change. Gives the version of the object afterwards, unless it is gone.
    pub(crate) async fn write(&self, change: &Change) -> Result<Option<String>, WriteError> {
        let based_on = change.based_on.as_ref();
        let written = match &change.act {
            Act::Apply { .. } => self.apply(change, based_on).await?,
            Act::Delete => {
                let preconditions = Preconditions {
                    uid: based_on.map(|based_on| based_on.uid.clone()),
                    resource_version: based_on.map(|based_on| based_on.version.clone()),
                };
                self.fence()?;
                match self.cluster.delete(&self.address(change), &preconditions).await {
                    Err(error) if !error.is_not_found() => return Err(error.into()),
                    _ => return Ok(None),
                }
            }
            Act::Conditions(conditions) => {
                let mut object = self.object(change, based_on);
                object["status"] = json!({ "conditions": conditions });
                self.fence()?;
                self.cluster.apply(&self.status(change), CONDITIONS, true, &object).await?
            }
            Act::OnlyConditions(others) => {
                let patch = match others.is_empty() {
                    true => json!({"op": "remove", "path": "/status/conditions"}),
                    false => json!({"op": "replace", "path": "/status/conditions", "value": others}),
                };
                let patch = json!([self.same_version(based_on), patch]);
                self.fence()?;
                self.cluster.json_patch(&self.status(change), CONDITIONS, &patch).await?
            }
        };
        Ok(version(&written).map(str::to_owned))
    }

    async fn apply(&self, change: &Change, based_on: Option<&Version>) -> Result<Value, WriteError> {
        let Act::Apply { owner, spec } = &change.act else { return Ok(Value::Null) };
        let mut owner = json!(owner);
        owner["apiVersion"] = format!("cilium.io/{}", self.api_version).into();
        let mut object = self.object(change, based_on);
        object["metadata"]["ownerReferences"] = json!([owner]);
        object["spec"] = json!(spec);
        let Some(based_on) = based_on else {
            // Server-side apply would write over one that came into being meanwhile.
            self.fence()?;
            return Ok(self.cluster.create(&self.collection(change), NODE_CONFIGS, &object).await?);
        };
        let current = self.take_over(change, based_on).await?;
        object["metadata"]["resourceVersion"] = current.into();
        self.fence()?;
        Ok(self.cluster.apply(&self.address(change), NODE_CONFIGS, true, &object).await?)
    }

    /// Moves to us what others own by updates. Gives the version to go on from.
    async fn take_over(&self, change: &Change, based_on: &Version) -> Result<String, WriteError> {
        let object = self.cluster.get(&self.address(change)).await?;
        let managers = object["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
        let api_version = format!("cilium.io/{}", self.api_version);
        // Somebody wrote since: what was computed is to be computed again.
        let current = version(&object).unwrap_or_default();
        let Some(managers) =
            taken_over(managers, NODE_CONFIGS, &api_version).filter(|_| current == based_on.version)
        else {
            return Ok(based_on.version.clone());
        };
        let fields = json!({"op": "replace", "path": "/metadata/managedFields", "value": managers});
        let patch = json!([self.same_version(Some(based_on)), fields]);
        self.fence()?;
        let taken = self.cluster.json_patch(&self.address(change), NODE_CONFIGS, &patch).await?;
        tracing::info!(object = %change.object, "took over the fields that were written by updates");
        Ok(version(&taken).unwrap_or_default().to_owned())
    }

    /// A JSON patch that writes the version is refused with a conflict if it is another one.
    fn same_version(&self, based_on: Option<&Version>) -> Value {
        let version = based_on.map(|based_on| based_on.version.as_str()).unwrap_or_default();
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version})
    }

    fn object(&self, change: &Change, based_on: Option<&Version>) -> Value {
        let mut object = json!({
            "apiVersion": format!("cilium.io/{}", self.api_version),
            "kind": change.object.kind,
            "metadata": {"name": change.object.name},
        });
        if let Some(based_on) = based_on {
            object["metadata"]["uid"] = based_on.uid.as_str().into();
            object["metadata"]["resourceVersion"] = based_on.version.as_str().into();
        }
        object
    }

    fn collection(&self, change: &Change) -> Address {
        let plural = format!("{}s", change.object.kind.to_ascii_lowercase());
        Address::group("cilium.io", self.api_version, &plural)
    }

    fn address(&self, change: &Change) -> Address {
        self.collection(change).name(&change.object.name)
    }

    fn status(&self, change: &Change) -> Address {
        self.address(change).subresource("status")
    }

    fn fence(&self) -> Result<(), WriteError> {
        self.leadership.token().map(drop).ok_or(WriteError::Deposed)
    }
}

/// The version of Cilium's kinds to write: clusters from Cilium 1.16 and 1.17 have `v2alpha1` only.
pub(crate) async fn served_version(cluster: &Cluster) -> &'static str {
    let found = cluster.get_raw("apis", "/apis/cilium.io/v2").await;
    match found {
        Ok(answer) if answer.status == 404 => "v2alpha1",
        Ok(answer) if answer.is_success() => {
            let text = String::from_utf8_lossy(&answer.body);
            if text.contains("ciliumbgpnodeconfigs") { "v2" } else { "v2alpha1" }
        }
        _ => "v2",
    }
}

fn version(object: &Value) -> Option<&str> {
    object["metadata"]["resourceVersion"].as_str()
}
