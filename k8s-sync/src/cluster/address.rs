//! Addresses of the Kubernetes API: a collection, an object, or a subresource of one.
//!
//! Invariant: what comes from outside (names) is percent-encoded, so that no name can lead to another object.

use std::fmt::Write as _;

/// Where in the API something is: `/apis/cilium.io/v2/ciliumbgpnodeconfigs/worker-1/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    group: String,
    version: String,
    plural: String,
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

impl Address {
    /// A collection of the core group, `v1`.
    #[must_use]
    pub fn core(plural: &str) -> Self {
        Self::group("", "v1", plural)
    }

    /// A collection of a named group.
    #[must_use]
    pub fn group(group: &str, version: &str, plural: &str) -> Self {
        let [group, version, plural] = [group, version, plural].map(str::to_owned);
        Self { group, version, plural, namespace: None, name: None, subresource: None }
    }

    /// In this namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// The object of this name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// A part of the object that is written on its own, such as `status`.
    #[must_use]
    pub fn subresource(mut self, subresource: &str) -> Self {
        self.subresource = Some(subresource.to_owned());
        self
    }

    /// The path of the URL.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        let namespace = self.namespace.as_deref().map(|namespace| ("namespaces/", namespace));
        let name = self.name.as_deref().map(|name| ("", name));
        let subresource = self.subresource.as_deref().map(|subresource| ("", subresource));
        let parts = [namespace, Some(("", self.plural.as_str())), name, subresource];
        for (before, part) in parts.into_iter().flatten() {
            path.push('/');
            path.push_str(before);
            path.push_str(&encode(part));
        }
        path
    }

    /// The name of the resource for counters and messages: `services`, `ciliumbgpnodeconfigs/status`.
    #[must_use]
    pub fn resource(&self) -> String {
        match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.plural),
            None => self.plural.clone(),
        }
    }

    /// Whether one object is meant, not a collection.
    pub(super) fn is_object(&self) -> bool {
        self.name.is_some()
    }
}

/// A text as one part of a path or of a query (RFC 3986).
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let status =
            Address::group("cilium.io", "v2", "ciliumbgpnodeconfigs").name("w1").subresource("status");
        assert_eq!(status.path(), "/apis/cilium.io/v2/ciliumbgpnodeconfigs/w1/status");
        assert_eq!(status.resource(), "ciliumbgpnodeconfigs/status");
        let secrets = Address::core("secrets").namespace("kube-system");
        assert_eq!(secrets.path(), "/api/v1/namespaces/kube-system/secrets");
        assert_eq!(Address::core("nodes").name("../secrets").path(), "/api/v1/nodes/..%2Fsecrets");
    }
}
