//! One reservation: addresses that are kept for a Service, whether it exists or not.
//!
//! Invariant: an item that cannot be understood reserves nothing and is named; the others count.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rutter_crds::LoadBalancerIPReservation;
use rutter_crds::load_balancer_ip_reservation::{LoadBalancerIPReservationSpec, ReservedFor};
use serde::Serialize;

use crate::duration;
use crate::request::{self, InvalidItem, Mistake, Source};
use crate::selector::shortened;
use crate::service::{Service, ServiceKey};
use crate::settings::Settings;

/// On a Service: for how long its addresses are kept for it once it is gone, like `1h`.
pub const RESERVATION_GRACE: &str = "rutter.dev/reservation-grace";
/// Label of the reservations that the operator makes.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of that label.
pub const OPERATOR: &str = "rutter-operator";
/// Type of the condition on a reservation.
pub const RESERVED: &str = "rutter.dev/Reserved";
/// More than that the schema does not take.
const MOST: usize = 16;

/// A reservation.
#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub(crate) name: Arc<str>,
    pub(crate) service: ServiceKey,
    pub(crate) addresses: Box<[IpAddr]>,
    /// How long it outlives its Service; absent: for ever.
    pub(crate) grace: Option<SignedDuration>,
    /// What is not understood, in words.
    pub(crate) bad: Box<[String]>,
    /// Whether the operator made it, and may change and delete it with the Service.
    pub(crate) managed: bool,
    /// The object; none if it is still to be made.
    pub(crate) object: Option<Arc<LoadBalancerIPReservation>>,
    /// Since when there is no such Service.
    pub(crate) released_at: Option<Timestamp>,
    /// Whether its time is over, or nobody wants it any more: it reserves nothing and its object is to go.
    pub(crate) over: bool,
}

/// What a Service wants to be kept for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) addresses: Box<[IpAddr]>,
    pub(crate) grace: SignedDuration,
}

/// The name of the reservation that the operator makes for a Service. No part has a dot in it, so no two Services meet.
pub(crate) fn name_for(service: &ServiceKey) -> Arc<str> {
    format!("svc.{}.{}", service.namespace, service.name).into()
}

impl Reservation {
    /// From the object.
    pub(crate) fn parse(object: Arc<LoadBalancerIPReservation>) -> Self {
        let LoadBalancerIPReservationSpec { addresses: items, grace_period, service_ref } = &object.spec;
        let service = ServiceKey::new(&*service_ref.namespace, &*service_ref.name);
        let name: Arc<str> = object.metadata.name.as_deref().unwrap_or_default().into();
        let (mut addresses, mut bad) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            match request::parse(item.trim()) {
                Ok(address) if addresses.contains(&address) => {}
                Ok(address) => addresses.push(address),
                Err(why) => bad.push(format!("spec.addresses[{index}]: {why}")),
            }
        }
        let grace = grace_period.as_deref().and_then(duration::parse);
        if let (Some(text), None) = (grace_period, grace) {
            let text = shortened(text);
            bad.push(format!("spec.gracePeriod: {text:?} is no duration: write one like 30m or 1h30m; until then it is for ever"));
        }
        let label = object.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
        let managed = label.is_some_and(|value| value == OPERATOR) && name == name_for(&service);
        Self {
            released_at: said(&object),
            addresses: addresses.into(),
            bad: bad.into(),
            over: false,
            object: Some(object),
            name,
            service,
            grace,
            managed,
        }
    }

    /// One that is still to be made.
    pub(crate) fn wished(service: &ServiceKey, wish: &Wish) -> Self {
        Self {
            name: name_for(service),
            service: service.clone(),
            addresses: wish.addresses.clone(),
            grace: Some(wish.grace),
            bad: Box::default(),
            managed: true,
            object: None,
            released_at: None,
            over: false,
        }
    }

    /// When it is over.
    pub(crate) fn end(&self) -> Option<Timestamp> {
        let end = self.released_at?.saturating_add(self.grace?);
        Some(end.unwrap_or(Timestamp::MAX))
    }

    /// What its spec is to say.
    pub(crate) fn spec(&self) -> LoadBalancerIPReservationSpec {
        LoadBalancerIPReservationSpec {
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
            grace_period: self.grace.map(duration::text),
            service_ref: ReservedFor {
                name: self.service.name.to_string(),
                namespace: self.service.namespace.to_string(),
            },
        }
    }
}

/// Since when there is no such Service, as the object says.
pub(crate) fn said(object: &LoadBalancerIPReservation) -> Option<Timestamp> {
    Some(object.status.as_ref()?.released_at.as_ref()?.0)
}

/// What a Service's annotation means: nothing, a time (no longer than the settings allow), or what is wrong with it.
pub(crate) fn grace_of(
    settings: &Settings,
    service: &Service,
) -> Result<Option<SignedDuration>, InvalidItem> {
    let Some(text) = service.annotations.get(RESERVATION_GRACE) else { return Ok(None) };
    let Some(grace) = duration::parse(text) else {
        let text = shortened(text);
        let why = Mistake::NoDuration(text.clone());
        return Err(InvalidItem { at: Source::Annotation(RESERVATION_GRACE), text, why });
    };
    let grace = SignedDuration::from_secs(grace.min(settings.reservation_grace_limit).as_secs());
    Ok((!grace.is_zero()).then_some(grace))
}

/// What a Service with these addresses wants to be kept for it.
pub(crate) fn wish(
    settings: &Settings,
    service: &Service,
    held: impl Iterator<Item = IpAddr>,
) -> Option<Wish> {
    let grace = grace_of(settings, service).ok().flatten()?;
    Some(Wish { addresses: held.take(MOST).collect(), grace })
}

/// A reservation, for `show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservationView {
    /// Its name.
    pub name: Arc<str>,
    /// Whom it is for.
    pub service: ServiceKey,
    /// The addresses.
    pub addresses: Box<[IpAddr]>,
    /// Whether the operator made it.
    pub managed: bool,
    /// Since when there is no such Service.
    pub released_at: Option<Timestamp>,
    /// When it is over, if that is known.
    pub until: Option<Timestamp>,
}
