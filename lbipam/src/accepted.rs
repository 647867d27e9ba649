//! Edits that wait (`rutter.dev/safe-shrink`): what counts of the spec that a pool had before.
//!
//! Invariant: while an edit waits, nobody loses an address that the accepted spec or the new one lets them have, and nobody gets
//! a new one that the new spec does not. The accepted spec stands in an annotation of the pool, so a replica that starts
//! anew knows of the edit what the one before it knew.

use std::fmt::Display;
use std::sync::Arc;

use rutter_crds::{CiliumLoadBalancerIPPool, CiliumLoadBalancerIPPoolSpec};

use crate::annotation::{ACCEPTED_SPEC, BadAnnotation, CONFIRM_EDIT, PoolAnnotations, SAFE_SHRINK};
use crate::pool::Pool;
use crate::selector::ServiceSelector;
use crate::settings::Settings;
use crate::status::{EDIT_STAGED, Wanted, listed};

/// What counts beside the spec.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// Nothing: edits of this pool do not wait, or this one is confirmed, or there was none before.
    Nothing,
    /// The spec is the accepted one.
    Current,
    /// An earlier spec, as a pool of its own.
    Earlier(Box<Pool>),
    /// An earlier spec that cannot be read: it may be any, so it keeps whatever somebody has.
    Unreadable,
}

/// A spec is kept in an annotation, and all annotations of an object together have 256 KiB.
const MOST_BLOCKS: usize = 2_000;

impl Accepted {
    /// From the annotations of a pool; says there if the pool has more blocks than can be kept.
    pub(crate) fn of(
        object: &CiliumLoadBalancerIPPool,
        annotations: &mut PoolAnnotations,
        settings: &Settings,
    ) -> Self {
        if !annotations.safe_shrink.unwrap_or(settings.safe_shrink) {
            return Self::Nothing;
        }
        if object.spec.blocks.len() > MOST_BLOCKS {
            annotations.bad.push(BadAnnotation::TooManyBlocks { key: SAFE_SHRINK, most: MOST_BLOCKS });
            return Self::Nothing;
        }
        let confirmed = is_confirmed(object, annotations);
        match annotations.accepted_spec.as_deref() {
            Some(text) => match serde_json::from_str::<CiliumLoadBalancerIPPoolSpec>(text) {
                Ok(spec) if spec == object.spec => Self::Current,
                _ if confirmed => Self::Nothing,
                Ok(spec) => Self::earlier(spec),
                Err(_) => Self::Unreadable,
            },
            None => Self::Nothing,
        }
    }

    fn earlier(spec: CiliumLoadBalancerIPPoolSpec) -> Self {
        // Without annotations and with settings of its own it waits for nothing.
        let earlier = CiliumLoadBalancerIPPool::new("", spec);
        Self::Earlier(Box::new(Pool::parse(Arc::new(earlier), &Settings::default())))
    }
}

/// Whether the owner said that this very edit may move addresses.
fn is_confirmed(object: &CiliumLoadBalancerIPPool, annotations: &PoolAnnotations) -> bool {
    annotations.confirmed.is_some() && annotations.confirmed == object.metadata.generation
}

impl Pool {
    /// Whether an edit of it may wait: there is an earlier spec that counts.
    #[must_use]
    pub fn may_be_staged(&self) -> bool {
        matches!(self.accepted, Accepted::Earlier(_) | Accepted::Unreadable)
    }

    /// What `rutter.dev/accepted-spec` is to say, if it changes, given whether anybody would move by the spec alone: a spec is
    /// accepted when nobody would, and all of it can be read.
    #[must_use]
    pub fn accepts(&self, would_move: bool) -> Option<(&'static str, String)> {
        let absent = self.annotations.accepted_spec.is_none();
        let spec = match &self.accepted {
            Accepted::Current => None,
            Accepted::Nothing => {
                Some(&self.object.spec).filter(|_| self.keeps_accepted_spec && self.is_whole())
            }
            Accepted::Earlier(_) | Accepted::Unreadable if !would_move && self.is_whole() => {
                Some(&self.object.spec)
            }
            Accepted::Earlier(earlier) => Some(&earlier.object.spec).filter(|_| absent),
            Accepted::Unreadable => None,
        };
        Some((ACCEPTED_SPEC, serde_json::to_string(spec?).ok()?))
    }

    /// Takes over what was accepted from an earlier state of the same object, if the annotation is not (or no longer) there:
    /// tools that replace objects remove it without meaning anything by it. The next plan puts it back.
    pub fn inherit(&mut self, before: &Self) {
        let (metadata, earlier) = (&self.object.metadata, &before.object.metadata);
        if !self.keeps_accepted_spec
            || self.annotations.accepted_spec.is_some()
            || is_confirmed(&self.object, &self.annotations)
            || metadata.uid.is_none()
            || metadata.uid != earlier.uid
        {
            return;
        }
        let spec = match &before.accepted {
            Accepted::Nothing if !before.keeps_accepted_spec || !before.is_whole() => return,
            Accepted::Nothing | Accepted::Current => &before.object.spec,
            Accepted::Earlier(earlier) => &earlier.object.spec,
            Accepted::Unreadable => return,
        };
        if *spec != self.object.spec {
            self.accepted = Accepted::earlier(spec.clone());
        }
    }

    /// Whether all of the spec can be read.
    fn is_whole(&self) -> bool {
        self.bad_blocks.is_empty() && !matches!(self.selector, ServiceSelector::Unusable(_))
    }

    /// The condition of a pool whose edit waits, given the addresses that would move, each with whose it is.
    #[must_use]
    pub fn staged<T: Display>(&self, would_move: impl ExactSizeIterator<Item = T>) -> Option<Wanted> {
        let count = would_move.len();
        if count == 0 || !self.may_be_staged() {
            return None;
        }
        let unreadable = match self.accepted {
            Accepted::Unreadable => format!(" ({ACCEPTED_SPEC} cannot be read, so it may have had them)"),
            _ => String::new(),
        };
        let (name, generation) = (&self.name, self.object.metadata.generation.unwrap_or_default());
        let message = format!(
            "by this spec {count} {} in use would move{unreadable}: {}; they stay, and nothing new is given of what it takes \
             away. Once nobody has them the edit is accepted by itself; to move them now: kubectl annotate \
             ciliumloadbalancerippool {name} --overwrite {CONFIRM_EDIT}={generation}",
            if count == 1 { "address" } else { "addresses" },
            listed(would_move),
        );
        Some(Wanted::holds(EDIT_STAGED, "would_move", message))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use serde_json::{Value, json};

    use super::*;
    use crate::pool::tests::from_json;
    use crate::service::{Service, ServiceKey};

    fn parse(spec: &Value, annotations: Value, generation: i64) -> Pool {
        let metadata = json!({"name": "p", "generation": generation, "annotations": annotations});
        Pool::parse(Arc::new(from_json(json!({"metadata": metadata, "spec": spec}))), &Settings::default())
    }

    fn staged(spec: &Value, accepted: &Value) -> Pool {
        parse(spec, json!({SAFE_SHRINK: "true", ACCEPTED_SPEC: accepted.to_string()}), 5)
    }

    fn service(namespace: &str) -> Service {
        Service { key: Arc::new(ServiceKey::new(namespace, "web")), ..Service::default() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn selecting(namespace: &str, blocks: &[&str]) -> Value {
        let blocks: Vec<_> = blocks.iter().map(|cidr| json!({"cidr": cidr})).collect();
        json!({"blocks": blocks, "serviceSelector": {"matchLabels": {"io.kubernetes.service.namespace": namespace}}})
    }

    #[test]
    fn an_edit_that_waits_takes_nothing_away_and_adds_at_once() {
        let pool = staged(&selecting("b", &["10.0.1.0/24"]), &selecting("a", &["10.0.0.0/24"]));
        let (old, new) = (service("a"), service("b"));
        assert!(pool.may_be_staged());
        assert!(pool.keeps(ip("10.0.0.1"), &old) && !pool.keeps_by_spec(ip("10.0.0.1"), &old));
        assert!(pool.keeps(ip("10.0.1.1"), &new) && pool.keeps_by_spec(ip("10.0.1.1"), &new));
        // The two specs are not mixed: who is selected by one does not keep addresses of the other.
        assert!(!pool.keeps(ip("10.0.1.1"), &old) && !pool.keeps(ip("10.0.0.1"), &new));
        assert!(pool.covers(ip("10.0.1.1")) && !pool.covers(ip("10.0.0.1")), "nothing new of what it lost");
        assert!(pool.selects(&new) && !pool.selects(&old));
    }

    #[test]
    fn accepted_when_nobody_moves_or_the_generation_is_confirmed() {
        let (old, new) = (selecting("a", &["10.0.0.0/24"]), selecting("a", &["10.0.0.0/25"]));
        let text = |pool: &Pool, would_move| {
            pool.accepts(would_move).map(|(key, text)| {
                assert_eq!(key, ACCEPTED_SPEC);
                serde_json::from_str::<CiliumLoadBalancerIPPoolSpec>(&text).unwrap()
            })
        };
        let pool = staged(&new, &old);
        assert_eq!(text(&pool, true), None);
        assert_eq!(text(&pool, false).as_ref(), Some(&pool.object.spec));
        let confirm = |generation: &str| {
            let annotations =
                json!({SAFE_SHRINK: "true", ACCEPTED_SPEC: old.to_string(), CONFIRM_EDIT: generation});
            parse(&new, annotations, 5)
        };
        assert!(confirm("4").may_be_staged(), "an old confirmation confirms no later edit");
        let confirmed = confirm("5");
        assert!(!confirmed.may_be_staged() && !confirmed.keeps(ip("10.0.0.200"), &service("a")));
        assert_eq!(text(&confirmed, true).as_ref(), Some(&confirmed.object.spec));
        // What was accepted is what the annotation says from then on.
        let settled = staged(&new, &serde_json::to_value(&confirmed.object.spec).unwrap());
        assert_eq!((text(&settled, true), text(&settled, false)), (None, None));
    }

    #[test]
    fn the_first_spec_is_accepted_as_it_is() {
        let spec = selecting("a", &["10.0.0.0/24"]);
        let first = parse(&spec, json!({SAFE_SHRINK: "true"}), 1);
        assert!(!first.may_be_staged() && first.accepts(false).is_some());
        for nobody_asked in [json!({}), json!({SAFE_SHRINK: "false", ACCEPTED_SPEC: "{}"})] {
            let pool = parse(&spec, nobody_asked, 1);
            assert!(!pool.may_be_staged() && pool.accepts(false).is_none());
        }
        let object = from_json(json!({"metadata": {"name": "p"}, "spec": spec}));
        let everywhere = Settings { safe_shrink: true, ..Settings::default() };
        assert!(Pool::parse(Arc::new(object), &everywhere).accepts(false).is_some());
    }

    #[test]
    fn replacing_the_object_confirms_nothing() {
        let (old, new) = (selecting("a", &["10.0.0.0/24"]), selecting("a", &["10.0.0.0/25"]));
        let of = |spec: &Value, annotations: Value, uid: &str, generation: i64| {
            let metadata =
                json!({"name": "p", "uid": uid, "generation": generation, "annotations": annotations});
            let object = from_json(json!({"metadata": metadata, "spec": spec}));
            Pool::parse(Arc::new(object), &Settings::default())
        };
        let asked = json!({SAFE_SHRINK: "true"});
        let annotated = json!({SAFE_SHRINK: "true", ACCEPTED_SPEC: old.to_string()});
        let after = |before: &Pool, mut pool: Pool| {
            pool.inherit(before);
            pool
        };
        let before = of(&old, annotated.clone(), "u", 1);
        let replaced = after(&before, of(&new, asked.clone(), "u", 2));
        assert!(replaced.keeps(ip("10.0.0.200"), &service("a")), "it waits");
        let (_, text) = replaced.accepts(true).unwrap();
        assert_eq!(serde_json::from_str::<CiliumLoadBalancerIPPoolSpec>(&text).unwrap(), before.object.spec);
        assert_eq!(
            serde_json::from_str::<CiliumLoadBalancerIPPoolSpec>(&replaced.accepts(false).unwrap().1)
                .unwrap(),
            replaced.object.spec
        );
        // And again, before the annotation was put back; also if it was never there.
        assert!(after(&replaced, of(&new, asked.clone(), "u", 3)).may_be_staged());
        assert!(after(&of(&old, asked.clone(), "u", 1), of(&new, asked.clone(), "u", 2)).may_be_staged());
        // Another object of that name, a confirmed edit, nobody who asks.
        assert!(!after(&before, of(&new, asked, "v", 1)).may_be_staged());
        let confirmed = json!({SAFE_SHRINK: "true", CONFIRM_EDIT: "2"});
        assert!(!after(&before, of(&new, confirmed, "u", 2)).may_be_staged());
        assert!(!after(&before, of(&new, json!({}), "u", 2)).may_be_staged());
    }

    #[test]
    fn a_spec_that_cannot_be_read_is_not_accepted() {
        let good = selecting("a", &["10.0.0.0/24"]);
        let pool = staged(&json!({"blocks": [{"stop": "10.0.0.9"}]}), &good);
        assert_eq!(pool.accepts(false), None);
        let pool = staged(
            &json!({"serviceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            &good,
        );
        assert_eq!(pool.accepts(false), None);
    }

    #[test]
    fn an_accepted_spec_that_cannot_be_read_keeps_everything() {
        let annotations = json!({SAFE_SHRINK: "true", ACCEPTED_SPEC: "{"});
        let pool = parse(&selecting("a", &["10.0.0.0/24"]), annotations, 2);
        assert!(pool.may_be_staged() && pool.keeps(ip("192.0.2.1"), &service("b")));
        assert!(!pool.keeps_by_spec(ip("192.0.2.1"), &service("b")));
        let message = pool.staged(["192.0.2.1 of b/web"].into_iter()).unwrap().message;
        assert!(message.contains("rutter.dev/accepted-spec cannot be read"), "{message}");
        assert!(pool.accepts(false).is_some(), "once nobody depends on it, it is written anew");
    }

    #[test]
    fn the_condition_says_what_would_move_and_how_to_confirm() {
        let pool = staged(&selecting("a", &[]), &selecting("a", &["10.0.0.0/24"]));
        assert_eq!(pool.staged([""; 0].into_iter()), None);
        let wanted = pool.staged(["10.0.0.1 of a/web", "10.0.0.2 of a/db"].into_iter()).unwrap();
        assert_eq!((wanted.type_, wanted.reason), ("rutter.dev/EditStaged", "would_move"));
        assert_eq!(
            wanted.message,
            "by this spec 2 addresses in use would move: 10.0.0.1 of a/web; 10.0.0.2 of a/db; they stay, and nothing new is \
             given of what it takes away. Once nobody has them the edit is accepted by itself; to move them now: kubectl \
             annotate ciliumloadbalancerippool p --overwrite rutter.dev/confirm-edit=5"
        );
    }

    #[test]
    fn a_spec_too_long_for_an_annotation_does_not_wait_and_says_so() {
        let blocks: Vec<_> = (0..2_001).map(|_| json!({"start": "10.0.0.1"})).collect();
        let pool = parse(&json!({"blocks": blocks}), json!({SAFE_SHRINK: "true"}), 1);
        assert!(!pool.may_be_staged() && pool.accepts(false).is_none());
        assert_eq!(
            pool.annotations.bad[0].to_string(),
            "rutter.dev/safe-shrink is of no effect beyond 2000 blocks: split the pool, or write fewer and larger blocks"
        );
    }
}
