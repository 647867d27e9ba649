//! What an intent would do, without doing it: the same comparison as an application, with the speakers asked for their plans.
//!
//! Invariant: a plan changes nothing, and what it says is what an application at the same moment would say.

use std::collections::BTreeMap;
use std::sync::Arc;

use rutter_api::control::{Applied, Change, Conflict, Effect};
use rutter_api::intent::{Instance, Intent};

use crate::config::resolve::resolve;
use crate::intents::Owner;
use crate::intents::merge::Merged;
use crate::supervisor::{IntentError, Supervisor, changes, check, unchanged_peers, whole_instance};

impl Supervisor {
    /// What putting this intent would do now. `hostname` as the configuration file would have it, if it is the file's.
    pub(super) async fn plan(
        &mut self,
        owner: &Owner,
        intent: Intent,
        hostname: Option<&str>,
    ) -> Result<Applied, IntentError> {
        check(&intent, hostname)?;
        let Merged { instances, conflicts } = self.store.merged_with(owner, intent);
        let mut planned: Vec<Change> = Vec::new();
        for (name, followed) in &self.followed {
            if !instances.contains_key(name) {
                planned.push(whole_instance(name, Effect::Removed, &followed.intent));
            }
        }
        for (name, instance) in &instances {
            let Some(followed) = self.followed.get(name) else {
                planned.push(whole_instance(name, Effect::Added, instance));
                continue;
            };
            if followed.intent == *instance && followed.hostname.as_deref() == hostname {
                continue;
            }
            let config = resolve(instance, hostname)
                .map_err(|source| IntentError::Resolve { instance: name.clone(), source })?;
            let look =
                followed.running.handle.inspect(move |speaker, _| speaker.plan_config(&config.speaker)).await;
            // An instance that has ended begins anew with whatever it is told.
            let peers = look.unwrap_or_default();
            planned.extend(changes::of_instance(&followed.intent, instance, &peers));
        }
        let conflicts: Vec<Conflict> =
            conflicts.into_iter().filter(|conflict| conflict.loser == owner.as_str()).collect();
        let unchanged_peers = unchanged_peers(instances.values().map(|instance| &**instance), &planned);
        Ok(Applied { changes: planned, unchanged_peers, conflicts })
    }
}

/// Instances and the host name that go together.
type Side<'a> = (&'a [Arc<Instance>], Option<&'a str>);

/// What going from one file to another costs sessions that are up.
///
/// # Errors
/// Why a file cannot be applied, and whether it is the new one.
pub(crate) fn plan_files(before: Side<'_>, after: Side<'_>) -> Result<Applied, (bool, IntentError)> {
    let resolved = |instance: &Instance, hostname, is_new| {
        resolve(instance, hostname)
            .map_err(|source| (is_new, IntentError::Resolve { instance: instance.name.clone(), source }))
    };
    let named = |(instances, _): Side<'_>| -> BTreeMap<String, Arc<Instance>> {
        instances.iter().map(|instance| (instance.name.clone(), Arc::clone(instance))).collect()
    };
    let (old, new) = (named(before), named(after));
    let mut planned = Vec::new();
    for (name, instance) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        planned.push(whole_instance(name, Effect::Removed, instance));
    }
    for (name, instance) in &new {
        let Some(earlier) = old.get(name) else {
            planned.push(whole_instance(name, Effect::Added, instance));
            continue;
        };
        let peers = bgp_core::plan_between(
            &resolved(earlier, before.1, false)?.speaker,
            &resolved(instance, after.1, true)?.speaker,
        );
        planned.extend(changes::of_instance(earlier, instance, &peers));
    }
    let unchanged_peers = unchanged_peers(new.values().map(|instance| &**instance), &planned);
    Ok(Applied { changes: planned, unchanged_peers, conflicts: Vec::new() })
}
