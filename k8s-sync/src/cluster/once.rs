//! All objects of some kinds at one moment, for a program that asks once and ends.
//!
//! Invariant: one LIST per kind (in pages) and nothing else, so reading rights are enough; an object that cannot be read is
//! a finding and costs the others nothing.

use super::address::Address;
use super::connect::Cluster;
use super::decode::decode;
use super::error::ApiError;
use super::watched::{Watched, sources};
use crate::cluster::Scope;
use crate::object::ObjectRef;
use crate::report::{Finding, Reason, Report};
use crate::snapshot::Snapshot;

impl Cluster {
    /// Everything that a process of this scope would follow, as it is now. Secrets are left out, and with a finding the kinds
    /// that a cluster need not have and that we may not list.
    ///
    /// # Errors
    /// The server is away, or does not let us list a kind without which nothing can be said.
    pub async fn read_once(&self, scope: &Scope) -> Result<(Snapshot, Report), ApiError> {
        let (mut snapshot, mut report) = (Snapshot::default(), Report::default());
        for source in sources(scope, None) {
            let place = source.watched.place();
            let resource = || format!("{}.{}", place.plural, place.group);
            let about = |reason| Finding { location: None, object: None, field: None, reason };
            // Without pools an answer about allocation would be a guess.
            let needed = !place.optional || source.watched == Watched::LbPool;
            let found = match self.list_in_any_version(source.watched, &source.selector).await {
                Err(error) if error.is_forbidden() && !needed => {
                    let problem = error.to_string();
                    report.add(about(Reason::ApiForbidden { resource: resource(), problem }));
                    continue;
                }
                answer => answer?,
            };
            if found.is_none() && !place.optional {
                report.add(about(Reason::KindNotServed { kind: place.kind, resource: resource() }));
            }
            for item in found.into_iter().flatten() {
                match decode(source.watched, source.detail, &item.to_string()) {
                    Ok(object) => snapshot.insert(object),
                    Err(error) => {
                        let name = item["metadata"]["name"].as_str().unwrap_or_default();
                        let namespace = item["metadata"]["namespace"].as_str().map(str::to_owned);
                        let object = ObjectRef { kind: place.kind, namespace, name: name.to_owned() };
                        let reason = Reason::ObjectUndecodable { error: error.error };
                        report.add(Finding::on(&object, error.path, reason));
                    }
                }
            }
        }
        Ok((snapshot, report))
    }

    /// The objects of a kind in the best version that is served; none if no version is.
    async fn list_in_any_version(
        &self,
        watched: Watched,
        selector: &str,
    ) -> Result<Option<Vec<serde_json::Value>>, ApiError> {
        let place = watched.place();
        for version in place.versions {
            match self.list(&Address::group(place.group, version, place.plural), selector).await {
                Err(error) if error.is_not_found() => {}
                answer => return answer.map(Some),
            }
        }
        Ok(None)
    }
}
