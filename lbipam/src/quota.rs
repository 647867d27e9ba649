//! How many addresses of a pool a namespace may have: `rutter.dev/quota: "*=5, team-a=20"`.
//!
//! Invariant: an address counts once for each namespace that has a Service at it, however many Services that are. A quota
//! stands in the way of new addresses only: lowering it takes nothing away.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::selector::shortened;

/// What a pool allows namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Each namespace that is not named (`*`); absent: as many as there are.
    others: Option<u32>,
    named: BTreeMap<Box<str>, u32>,
}

impl Quota {
    /// From the annotation, with the items that are not understood. Those count as nothing allowed: to the namespace that they
    /// name, or to all that are not named.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<Box<str>>) {
        let (mut quota, mut bad) = (Self::default(), Vec::new());
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (namespace, number) = item.split_once('=').unwrap_or(("", ""));
            let number = number.trim().parse().ok();
            let namespace = Some(namespace.trim()).filter(|namespace| !namespace.is_empty());
            let place = match namespace {
                None | Some("*") => None,
                Some(namespace) => Some(namespace),
            };
            let before = place.map_or(quota.others, |namespace| quota.named.get(namespace).copied());
            if (number.is_none() || namespace.is_none() || before.is_some()) && bad.len() < 20 {
                bad.push(shortened(item));
            }
            let allowed = number.filter(|_| namespace.is_some()).unwrap_or(0);
            // Of two numbers for one namespace the lower one counts.
            let allowed = before.map_or(allowed, |before| before.min(allowed));
            match place {
                None => quota.others = Some(allowed),
                Some(namespace) => {
                    quota.named.insert(namespace.into(), allowed);
                }
            }
        }
        (quota, bad)
    }

    /// How many addresses a namespace may have; absent: as many as there are.
    #[must_use]
    pub fn limit(&self, namespace: &str) -> Option<u32> {
        self.named.get(namespace).copied().or(self.others)
    }

    /// The namespaces that are named.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(|namespace| &**namespace)
    }
}

/// What a namespace has of a pool that counts by namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotaUse {
    /// The namespace.
    pub namespace: Box<str>,
    /// Addresses at which a Service of it is, or that are reserved for it.
    pub used: u64,
    /// How many it may have; absent: as many as there are.
    pub limit: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_and_for_all_others() {
        let (quota, bad) = Quota::parse("*=5, team-a = 20,,team-b=0");
        assert!(bad.is_empty());
        let limits = ["team-a", "team-b", "x"].map(|namespace| quota.limit(namespace));
        assert_eq!(limits, [Some(20), Some(0), Some(5)]);
        assert_eq!(Quota::parse("a=1").0.limit("b"), None);
        assert_eq!(Quota::parse(" ").0, Quota::default());
    }

    #[test]
    fn what_is_not_understood_allows_nothing() {
        let (quota, bad) = Quota::parse("a=many, b=3, b=2");
        assert_eq!((quota.limit("a"), quota.limit("b"), quota.limit("c")), (Some(0), Some(2), None));
        assert_eq!(bad, ["a=many".into(), "b=2".into()] as [Box<str>; 2]);
        let (quota, bad) = Quota::parse("5, a=3");
        assert_eq!((quota.limit("a"), quota.limit("b"), bad.len()), (Some(3), Some(0), 1));
        assert_eq!(Quota::parse("=5").0.limit("b"), Some(0));
        assert_eq!(Quota::parse("a=-1").0.limit("a"), Some(0));
    }
}
