//! Who has which sharing key.
//!
//! Invariant: exactly the Services that LB IPAM serves and that have a key are in here.

use std::collections::BTreeMap;

use crate::roster::{Age, Id};
use crate::service::Service;
use crate::sharing;

/// Members by key and namespace: most groups live in one namespace, and a key that many namespaces happen to use makes none
/// of them look at the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(BTreeMap<Box<str>, Namespaces>);

type Namespaces = BTreeMap<Box<str>, BTreeMap<Age, Id>>;

impl Keys {
    pub(crate) fn insert(&mut self, service: &Service, age: &Age, id: Id) {
        if let Some(key) = sharing::key(service) {
            let namespaces = self.0.entry(key.into()).or_default();
            namespaces.entry(service.key.namespace.clone()).or_default().insert(age.clone(), id);
        }
    }

    pub(crate) fn remove(&mut self, service: &Service, age: &Age) {
        let Some(key) = sharing::key(service) else { return };
        let Some(namespaces) = self.0.get_mut(key) else { return };
        if let Some(members) = namespaces.get_mut(&service.key.namespace) {
            members.remove(age);
            if members.is_empty() {
                namespaces.remove(&service.key.namespace);
            }
        }
        if namespaces.is_empty() {
            self.0.remove(key);
        }
    }

    /// Those with the Service's key in namespaces with which it is ready to share, oldest first; itself included.
    pub(crate) fn candidates(&self, service: &Service) -> Vec<Id> {
        let Some(namespaces) = sharing::key(service).and_then(|key| self.0.get(key)) else {
            return Vec::new();
        };
        let own = &*service.key.namespace;
        if sharing::namespaces(service).next().is_none() {
            return namespaces.get(own).into_iter().flatten().map(|(_, id)| *id).collect();
        }
        let listed: Vec<&str> = sharing::namespaces(service).collect();
        let ready =
            |namespace: &str| namespace == own || listed.contains(&"*") || listed.contains(&namespace);
        let members = namespaces.iter().filter(|(namespace, _)| ready(namespace));
        let mut members: Vec<(&Age, Id)> =
            members.flat_map(|(_, members)| members).map(|(age, id)| (age, *id)).collect();
        members.sort_unstable();
        members.into_iter().map(|(_, id)| id).collect()
    }
}
