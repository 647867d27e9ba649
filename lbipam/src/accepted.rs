//! Edits that wait (`rutter.dev/safe-shrink`): what counts beside the spec of a pool.
//!
//! Invariant: while an edit waits, nobody loses an address that the spec lets them have, or any spec since the one that was last
//! accepted as a whole (what an edit adds is given at once, so an edit of that edit may take it away again); and nobody gets a
//! new one that the spec does not give. These specs stand in an annotation of the pool, so a replica that starts anew knows
//! what the one before it knew.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use rutter_crds::{CiliumLoadBalancerIPPool, CiliumLoadBalancerIPPoolSpec};

use crate::annotation::{ACCEPTED_SPEC, BadAnnotation, CONFIRM_EDIT, PoolAnnotations, SAFE_SHRINK};
use crate::pool::Pool;
use crate::service::Service;
use crate::settings::Settings;
use crate::status::{EDIT_STAGED, Wanted, listed};

/// What counts beside the spec.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// Nothing: edits of this pool do not wait, or this one is confirmed, or there was none before.
    Nothing,
    /// Earlier specs, as pools of their own; none if the spec is accepted.
    Earlier(Vec<Pool>),
    /// Earlier specs that cannot be read: they may be any, so they keep whatever somebody has.
    Unreadable,
}

/// Specs are kept in an annotation, and all annotations of an object together have 256 KiB.
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
        if is_confirmed(object, annotations) {
            return Self::Nothing;
        }
        match annotations.accepted_spec.as_deref().map(serde_json::from_str::<Vec<_>>) {
            Some(Ok(specs)) => Self::earlier(specs, &object.spec),
            Some(Err(_)) => Self::Unreadable,
            None => Self::Nothing,
        }
    }

    fn earlier(specs: Vec<CiliumLoadBalancerIPPoolSpec>, current: &CiliumLoadBalancerIPPoolSpec) -> Self {
        let pool = |spec| {
            // Without annotations and with settings of its own it waits for nothing.
            let object = CiliumLoadBalancerIPPool::new("", spec);
            Pool::parse(Arc::new(object), &Settings::default())
        };
        Self::Earlier(specs.into_iter().filter(|spec| spec != current).map(pool).collect())
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
        match &self.accepted {
            Accepted::Nothing => false,
            Accepted::Earlier(earlier) => !earlier.is_empty(),
            Accepted::Unreadable => true,
        }
    }

    /// Whether the address is in a block of the spec, or of an earlier one that counts.
    pub(crate) fn covers_now_or_before(&self, address: IpAddr) -> bool {
        let before = match &self.accepted {
            Accepted::Earlier(earlier) => earlier.as_slice(),
            Accepted::Nothing | Accepted::Unreadable => &[],
        };
        self.covers(address) || before.iter().any(|pool| pool.covers(address))
    }

    /// The earlier specs, by their place, that let a Service keep an address.
    pub(crate) fn earlier_that_keep(&self, address: IpAddr, service: &Service) -> Vec<usize> {
        let Accepted::Earlier(earlier) = &self.accepted else { return Vec::new() };
        let keeping = earlier.iter().enumerate().filter(|(_, pool)| pool.keeps_by_spec(address, service));
        keeping.map(|(place, _)| place).collect()
    }

    /// What `rutter.dev/accepted-spec` is to say, if it changes: the earlier specs that somebody still needs, by their place, and
    /// the spec. Whether anybody would move by the spec alone decides where the earlier ones cannot be read.
    #[must_use]
    pub fn accepts(&self, needed: &[usize], would_move: bool) -> Option<(&'static str, String)> {
        if !self.keeps_accepted_spec || (would_move && matches!(self.accepted, Accepted::Unreadable)) {
            return None;
        }
        let earlier = match &self.accepted {
            Accepted::Earlier(earlier) => earlier.as_slice(),
            Accepted::Nothing | Accepted::Unreadable => &[],
        };
        let mut specs: Vec<_> =
            needed.iter().filter_map(|place| Some(&earlier.get(*place)?.object.spec)).collect();
        specs.push(&self.object.spec);
        if specs.iter().map(|spec| spec.blocks.len()).sum::<usize>() > 2 * MOST_BLOCKS {
            // No room: better what stands there than less of what somebody needs. This process knows the rest.
            return None;
        }
        let text = serde_json::to_string(&specs).ok()?;
        (self.annotations.accepted_spec.as_deref() != Some(&*text)).then_some((ACCEPTED_SPEC, text))
    }

    /// Takes over what counted from an earlier state of the same object, where the annotation does not say it: because the plan
    /// that says so was not written before the next edit, or because a tool replaced the object, annotation and all.
    pub fn inherit(&mut self, before: &Self) {
        let (metadata, former) = (&self.object.metadata, &before.object.metadata);
        if !self.keeps_accepted_spec
            || !before.keeps_accepted_spec
            || is_confirmed(&self.object, &self.annotations)
            || metadata.uid.is_none()
            || metadata.uid != former.uid
            || (self.object.spec == before.object.spec && self.annotations.accepted_spec.is_some())
        {
            return;
        }
        let specs_of = |pool: &Self| match &pool.accepted {
            Accepted::Earlier(earlier) => earlier.iter().map(|pool| pool.object.spec.clone()).collect(),
            Accepted::Nothing | Accepted::Unreadable => Vec::new(),
        };
        if matches!(self.accepted, Accepted::Unreadable) {
            return;
        }
        if matches!(before.accepted, Accepted::Unreadable) && self.annotations.accepted_spec.is_none() {
            self.accepted = Accepted::Unreadable;
            return;
        }
        let mut specs = specs_of(self);
        for spec in specs_of(before).into_iter().chain([before.object.spec.clone()]) {
            if !specs.contains(&spec) {
                specs.push(spec);
            }
        }
        self.accepted = Accepted::earlier(specs, &self.object.spec);
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
    use serde_json::{Value, json};

    use super::*;
    use crate::pool::tests::from_json;
    use crate::service::ServiceKey;

    fn parse(spec: &Value, annotations: Value, generation: i64) -> Pool {
        let metadata = json!({"name": "p", "generation": generation, "annotations": annotations});
        Pool::parse(Arc::new(from_json(json!({"metadata": metadata, "spec": spec}))), &Settings::default())
    }

    fn staged(spec: &Value, accepted: &Value) -> Pool {
        parse(spec, json!({SAFE_SHRINK: "true", ACCEPTED_SPEC: json!([accepted]).to_string()}), 5)
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

    fn specs(annotation: Option<(&str, String)>) -> Option<Vec<Value>> {
        annotation.map(|(key, text)| {
            assert_eq!(key, ACCEPTED_SPEC);
            let specs: Vec<CiliumLoadBalancerIPPoolSpec> = serde_json::from_str(&text).unwrap();
            specs.iter().map(canonical).collect()
        })
    }

    fn canonical(spec: &CiliumLoadBalancerIPPoolSpec) -> Value {
        serde_json::to_value(spec).unwrap()
    }

    /// As it is written.
    fn spec(spec: &Value) -> Value {
        canonical(&serde_json::from_value(spec.clone()).unwrap())
    }

    #[test]
    fn accepted_when_nobody_moves_or_the_generation_is_confirmed() {
        let (old, new) = (selecting("a", &["10.0.0.0/24"]), selecting("a", &["10.0.0.0/25"]));
        let pool = staged(&new, &old);
        assert_eq!(specs(pool.accepts(&[0], true)), Some(vec![spec(&old), spec(&new)]), "both count");
        assert_eq!(specs(pool.accepts(&[], false)), Some(vec![spec(&new)]));
        let confirm = |generation: &str| {
            let annotations = json!({SAFE_SHRINK: "true", ACCEPTED_SPEC: json!([old]).to_string(),
                CONFIRM_EDIT: generation});
            parse(&new, annotations, 5)
        };
        assert!(confirm("4").may_be_staged(), "an old confirmation confirms no later edit");
        let confirmed = confirm("5");
        assert!(!confirmed.may_be_staged() && !confirmed.keeps(ip("10.0.0.200"), &service("a")));
        let (_, text) = confirmed.accepts(&[], false).unwrap();
        // What was accepted is what the annotation says from then on.
        let settled = parse(&new, json!({SAFE_SHRINK: "true", ACCEPTED_SPEC: text}), 5);
        assert_eq!(settled.accepts(&[], false), None);
        assert!(!settled.may_be_staged());
    }

    #[test]
    fn an_edit_of_an_edit_takes_away_nothing_of_either() {
        let [first, second, third] =
            ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"].map(|block| selecting("a", &[block]));
        let both = json!({SAFE_SHRINK: "true", ACCEPTED_SPEC: json!([first, second]).to_string()});
        let pool = parse(&third, both.clone(), 3);
        for kept in ["10.0.0.1", "10.0.1.1", "10.0.2.1"] {
            assert!(pool.keeps(ip(kept), &service("a")), "{kept}");
        }
        assert!(pool.covers(ip("10.0.2.1")) && !pool.covers(ip("10.0.1.1")));
        let needed = pool.accepts(&[1], true);
        assert_eq!(specs(needed), Some(vec![spec(&second), spec(&third)]), "nobody needs the first any more");
        // Back to the first: the second still counts.
        let back = parse(&first, both, 4);
        assert!(back.may_be_staged() && back.keeps(ip("10.0.1.1"), &service("a")));
    }

    #[test]
    fn the_first_spec_is_accepted_as_it_is() {
        let spec = selecting("a", &["10.0.0.0/24"]);
        let first = parse(&spec, json!({SAFE_SHRINK: "true"}), 1);
        assert!(!first.may_be_staged() && first.accepts(&[], false).is_some());
        for nobody_asked in [json!({}), json!({SAFE_SHRINK: "false", ACCEPTED_SPEC: "[{}]"})] {
            let pool = parse(&spec, nobody_asked, 1);
            assert!(!pool.may_be_staged() && pool.accepts(&[], false).is_none());
        }
        let object = from_json(json!({"metadata": {"name": "p"}, "spec": spec}));
        let everywhere = Settings { safe_shrink: true, ..Settings::default() };
        assert!(Pool::parse(Arc::new(object), &everywhere).accepts(&[], false).is_some());
    }

    #[test]
    fn replacing_the_object_or_editing_it_fast_confirms_nothing() {
        let (old, new) = (selecting("a", &["10.0.0.0/24"]), selecting("a", &["10.0.0.0/25"]));
        let of = |spec: &Value, annotations: Value, uid: &str, generation: i64| {
            let metadata =
                json!({"name": "p", "uid": uid, "generation": generation, "annotations": annotations});
            let object = from_json(json!({"metadata": metadata, "spec": spec}));
            Pool::parse(Arc::new(object), &Settings::default())
        };
        let asked = json!({SAFE_SHRINK: "true"});
        let annotated = json!({SAFE_SHRINK: "true", ACCEPTED_SPEC: json!([old]).to_string()});
        let after = |before: &Pool, mut pool: Pool| {
            pool.inherit(before);
            pool
        };
        let before = of(&old, annotated.clone(), "u", 1);
        let replaced = after(&before, of(&new, asked.clone(), "u", 2));
        assert!(replaced.keeps(ip("10.0.0.200"), &service("a")), "it waits");
        assert_eq!(specs(replaced.accepts(&[0], true)), Some(vec![spec(&old), spec(&new)]));
        // And again, before the annotation was put back; also if it was never there.
        assert!(after(&replaced, of(&new, asked.clone(), "u", 3)).may_be_staged());
        assert!(after(&of(&old, asked.clone(), "u", 1), of(&new, asked.clone(), "u", 2)).may_be_staged());
        // The annotation says the first, the second was not noted before the third came.
        let third = selecting("a", &["10.0.9.0/24"]);
        let second = of(&new, annotated.clone(), "u", 2);
        let third = after(&second, of(&third, annotated.clone(), "u", 3));
        let Accepted::Earlier(earlier) = &third.accepted else { panic!("{third:?}") };
        assert_eq!(
            earlier.iter().map(|pool| canonical(&pool.object.spec)).collect::<Vec<_>>(),
            [spec(&old), spec(&new)]
        );
        // What is accepted in the meantime does not come back.
        let accepted = json!({SAFE_SHRINK: "true", ACCEPTED_SPEC: json!([new]).to_string()});
        assert!(!after(&second, of(&new, accepted, "u", 2)).may_be_staged());
        // Another object of that name, a confirmed edit, nobody who asks.
        assert!(!after(&before, of(&new, asked, "v", 1)).may_be_staged());
        let confirmed = json!({SAFE_SHRINK: "true", CONFIRM_EDIT: "2"});
        assert!(!after(&before, of(&new, confirmed, "u", 2)).may_be_staged());
        assert!(!after(&before, of(&new, json!({}), "u", 2)).may_be_staged());
    }

    #[test]
    fn an_accepted_spec_that_cannot_be_read_keeps_everything() {
        let annotations = json!({SAFE_SHRINK: "true", ACCEPTED_SPEC: "{"});
        let pool = parse(&selecting("a", &["10.0.0.0/24"]), annotations, 2);
        assert!(pool.may_be_staged() && pool.keeps(ip("192.0.2.1"), &service("b")));
        assert!(!pool.keeps_by_spec(ip("192.0.2.1"), &service("b")));
        let message = pool.staged(["192.0.2.1 of b/web"].into_iter()).unwrap().message;
        assert!(message.contains("rutter.dev/accepted-spec cannot be read"), "{message}");
        assert!(
            pool.accepts(&[], true).is_none() && pool.accepts(&[], false).is_some(),
            "once nobody depends on it, it is written anew"
        );
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
    fn what_there_is_no_room_for_takes_away_nothing_that_stands_there() {
        let blocks = |net: u8| -> Vec<_> {
            (0..1_500u16).map(|n| json!({"start": format!("10.{net}.{}.{}", n / 250, n % 250)})).collect()
        };
        let [first, second, third] = [1, 2, 3].map(|net| json!({"blocks": blocks(net)}));
        let annotations = json!({SAFE_SHRINK: "true", ACCEPTED_SPEC: json!([first, second]).to_string()});
        let pool = parse(&third, annotations, 3);
        assert!(pool.keeps(ip("10.1.0.0"), &service("a")) && pool.keeps(ip("10.2.0.0"), &service("a")));
        assert_eq!(pool.accepts(&[0, 1], true), None, "three do not fit");
        assert_eq!(specs(pool.accepts(&[1], true)).map(|specs| specs.len()), Some(2));
    }

    #[test]
    fn a_spec_too_long_for_an_annotation_does_not_wait_and_says_so() {
        let blocks: Vec<_> = (0..2_001).map(|_| json!({"start": "10.0.0.1"})).collect();
        let pool = parse(&json!({"blocks": blocks}), json!({SAFE_SHRINK: "true"}), 1);
        assert!(!pool.may_be_staged() && pool.accepts(&[], false).is_none());
        assert_eq!(
            pool.annotations.bad[0].to_string(),
            "rutter.dev/safe-shrink is of no effect beyond 2000 blocks: split the pool, or write fewer and larger blocks"
        );
    }
}
