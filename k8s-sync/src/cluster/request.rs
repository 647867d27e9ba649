//! One request and its answer: reading, and the few ways to write.
//!
//! Invariant: every request has a time limit and is counted once, with its answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, header};
use kube::client::Body;
use serde::Serialize;
use serde_json::{Value, json};

use super::address::{Address, encode};
use super::connect::{Cluster, chain};
use super::error::{ApiError, StatusBody};

/// Longest time for an answer that fits in one piece.
const PATIENCE: Duration = Duration::from_secs(15);
/// Objects per page of a list.
pub(super) const PAGE: usize = 500;

const JSON: &str = "application/json";

/// What the object must still be for a deletion to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// This very object, not a later one of the same name.
    pub uid: Option<String>,
    /// Unchanged since it was read.
    pub resource_version: Option<String>,
}

/// An answer that is no object of the API, e.g. through the pod proxy.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header `Content-Type`, if it is text.
    pub content_type: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// A request on its way, and what it is called in counters and messages.
pub(super) struct Call {
    pub(super) verb: &'static str,
    pub(super) resource: String,
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: Vec<(header::HeaderName, String)>,
    pub(super) body: Vec<u8>,
    pub(super) patience: Duration,
}

impl Call {
    pub(super) fn new(verb: &'static str, address: &Address, method: Method, query: &str) -> Self {
        let mut url = address.path();
        if !query.is_empty() {
            url.push('?');
            url.push_str(query);
        }
        Self::to(verb, address.resource(), method, url)
    }

    pub(super) fn to(verb: &'static str, resource: String, method: Method, url: String) -> Self {
        Self { verb, resource, method, url, headers: Vec::new(), body: Vec::new(), patience: PATIENCE }
    }

    pub(super) fn accept(mut self, kinds: &str) -> Self {
        self.headers.push((header::ACCEPT, kinds.to_owned()));
        self
    }

    fn body<T: Serialize + ?Sized>(mut self, content_type: &str, value: &T) -> Result<Self, ApiError> {
        self.body = serde_json::to_vec(value)
            .map_err(|error| ApiError::Unreadable { what: self.what(), cause: error.to_string() })?;
        self.headers.push((header::CONTENT_TYPE, content_type.to_owned()));
        Ok(self)
    }

    /// Verb and path, for messages.
    pub(super) fn what(&self) -> String {
        let path = self.url.split('?').next().unwrap_or_default();
        format!("{} {path}", self.verb)
    }
}

impl Cluster {
    /// One object.
    ///
    /// # Errors
    /// See [`ApiError`], for this and all methods below.
    pub async fn get(&self, address: &Address) -> Result<Value, ApiError> {
        self.json(Call::new("get", address, Method::GET, "")).await
    }

    /// All objects of a collection, page by page. `query` may hold selectors: `labelSelector=a%3Db`.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn list(&self, address: &Address, query: &str) -> Result<Vec<Value>, ApiError> {
        let (mut items, mut next) = (Vec::new(), String::new());
        loop {
            let mut query = format!("{query}{}limit={PAGE}", if query.is_empty() { "" } else { "&" });
            if !next.is_empty() {
                query.push_str(&format!("&continue={}", encode(&next)));
            }
            let mut page = self.json(Call::new("list", address, Method::GET, &query)).await?;
            if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
                items.extend(found);
            }
            match page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
                Some(token) => next = token.to_owned(),
                None => return Ok(items),
            }
        }
    }

    /// Makes a new object in a collection.
    ///
    /// # Errors
    /// See [`ApiError`]; `is_conflict` when the name is taken.
    pub async fn create(&self, address: &Address, manager: &str, object: &Value) -> Result<Value, ApiError> {
        let call = Call::new("create", address, Method::POST, &managed_by(manager)).body(JSON, object)?;
        self.json(call).await
    }

    /// Replaces an object. With `metadata.resourceVersion` in it: only if nobody wrote in between.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn replace(&self, address: &Address, manager: &str, object: &Value) -> Result<Value, ApiError> {
        let call = Call::new("update", address, Method::PUT, &managed_by(manager)).body(JSON, object)?;
        self.json(call).await
    }

    /// Server-side apply: these fields, owned by this manager; `force` takes them from others.
    ///
    /// # Errors
    /// See [`ApiError`]; `is_conflict` when another manager owns a field.
    pub async fn apply(
        &self,
        address: &Address,
        manager: &str,
        force: bool,
        object: &Value,
    ) -> Result<Value, ApiError> {
        let query = format!("{}&force={force}", managed_by(manager));
        let call = Call::new("apply", address, Method::PATCH, &query);
        self.json(call.body("application/apply-patch+yaml", object)?).await
    }

    /// JSON patch (RFC 6902).
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn json_patch(
        &self,
        address: &Address,
        manager: &str,
        patch: &Value,
    ) -> Result<Value, ApiError> {
        self.patch(address, manager, "application/json-patch+json", patch).await
    }

    /// JSON merge patch (RFC 7386).
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn merge_patch(
        &self,
        address: &Address,
        manager: &str,
        patch: &Value,
    ) -> Result<Value, ApiError> {
        self.patch(address, manager, "application/merge-patch+json", patch).await
    }

    /// Strategic merge patch: lists of Kubernetes' own kinds merge by their keys. With `metadata.resourceVersion` in it: only if
    /// nobody wrote in between. Custom resources have no such keys and refuse it.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn strategic_merge_patch(
        &self,
        address: &Address,
        manager: &str,
        patch: &Value,
    ) -> Result<Value, ApiError> {
        self.patch(address, manager, "application/strategic-merge-patch+json", patch).await
    }

    async fn patch(
        &self,
        address: &Address,
        manager: &str,
        content_type: &str,
        patch: &Value,
    ) -> Result<Value, ApiError> {
        let call = Call::new("patch", address, Method::PATCH, &managed_by(manager));
        self.json(call.body(content_type, patch)?).await
    }

    /// Deletes an object, if it is still the one that is meant.
    ///
    /// # Errors
    /// See [`ApiError`]; `is_conflict` when it no longer is.
    pub async fn delete(&self, address: &Address, preconditions: &Preconditions) -> Result<Value, ApiError> {
        debug_assert!(address.is_object(), "a whole collection is never deleted");
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {}});
        if let Some(uid) = &preconditions.uid {
            options["preconditions"]["uid"] = uid.as_str().into();
        }
        if let Some(version) = &preconditions.resource_version {
            options["preconditions"]["resourceVersion"] = version.as_str().into();
        }
        self.json(Call::new("delete", address, Method::DELETE, "").body(JSON, &options)?).await
    }

    /// `GET` of any path, whatever the answer: the way through the pod proxy. `resource` is the name in the counters.
    ///
    /// # Errors
    /// [`ApiError`] when there is no answer; an answer that says no is an [`Answer`] too.
    pub async fn get_raw(&self, resource: &str, path: &str) -> Result<Answer, ApiError> {
        let call = Call::to("get", resource.to_owned(), Method::GET, path.to_owned()).accept("*/*");
        let (what, patience) = (call.what(), call.patience);
        let response = self.send(call).await?;
        let status = response.status().as_u16();
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = self.collect(&what, patience, response).await?;
        Ok(Answer { status, content_type, body })
    }

    /// The answer as JSON; a refusal as an error.
    async fn json(&self, call: Call) -> Result<Value, ApiError> {
        let (what, bytes) = self.bytes(call).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::Unreadable { what, cause: error.to_string() })
    }

    /// The body of a good answer, and what was asked.
    pub(super) async fn bytes(&self, call: Call) -> Result<(String, Bytes), ApiError> {
        let (what, patience) = (call.what(), call.patience);
        let response = self.accepted(call).await?;
        let bytes = self.collect(&what, patience, response).await?;
        Ok((what, bytes))
    }

    /// A good answer, its body still to be read; a refusal as an error.
    pub(super) async fn accepted(&self, call: Call) -> Result<Response<Body>, ApiError> {
        let (what, patience) = (call.what(), call.patience);
        let response = self.send(call).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, asked) = (response.status(), retry_after(response.headers()));
        let body = self.collect(&what, patience, response).await.unwrap_or_default();
        let text = || status.canonical_reason().unwrap_or_default().to_owned();
        let mut said: StatusBody = serde_json::from_slice(&body)
            .unwrap_or_else(|_no_status| StatusBody { message: text(), ..StatusBody::default() });
        if said.reason.is_empty() {
            said.reason = text();
        }
        Err(said.refusal(what, status.as_u16(), asked))
    }

    async fn send(&self, call: Call) -> Result<Response<Body>, ApiError> {
        let what = call.what();
        let reads = call.method == Method::GET;
        let mut request = Request::builder().method(call.method).uri(&call.url);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let (body, withheld) = match &self.guard {
            Some(guard) if !reads => {
                let (body, withheld) = self.shared.bodies.make(call.body, guard.clone()).await;
                (body, Some(withheld))
            }
            _ => (Body::from(call.body), None),
        };
        let request = request
            .body(body)
            .map_err(|error| ApiError::Unreadable { what: what.clone(), cause: error.to_string() })?;
        let sent = tokio::time::timeout(call.patience, self.shared.client.send(request)).await;
        let (status, result) = match sent {
            Ok(Ok(response)) => (Some(response.status().as_u16()), Ok(response)),
            Ok(Err(_)) if withheld.is_some_and(|withheld| withheld.load(Ordering::Relaxed)) => {
                return Err(ApiError::Withheld { what });
            }
            Ok(Err(error)) => {
                let (server, cause) = (self.shared.server.clone(), chain(&error));
                (None, Err(ApiError::Unreachable { what, server, cause }))
            }
            Err(_elapsed) => (None, Err(ApiError::Timeout { what, after: call.patience })),
        };
        self.shared.requests.count(call.verb, &call.resource, status);
        if status.is_some() {
            self.shared.pulse.beat();
        }
        result
    }

    async fn collect(
        &self,
        what: &str,
        patience: Duration,
        response: Response<Body>,
    ) -> Result<Bytes, ApiError> {
        let what = || what.to_owned();
        match tokio::time::timeout(patience, response.into_body().collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => {
                let (server, cause) = (self.shared.server.clone(), chain(&error));
                Err(ApiError::Unreachable { what: what(), server, cause })
            }
            Err(_elapsed) => Err(ApiError::Timeout { what: what(), after: patience }),
        }
    }
}

fn managed_by(manager: &str) -> String {
    format!("fieldManager={}", encode(manager))
}

/// The header `Retry-After` in seconds. Its other form, a date, would need our clock to be right.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl Answer {
    /// Whether the answer is a success.
    #[must_use]
    pub fn is_success(&self) -> bool {
        StatusCode::from_u16(self.status).is_ok_and(|status| status.is_success())
    }
}
