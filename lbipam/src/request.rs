//! What a Service asks for: nothing of us, families, or these very addresses.
//!
//! Invariant: text that cannot be understood is named, never dropped: a Service that asked for an address never gets one it
//! did not ask for because of a typing error.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::Serialize;
use smallvec::SmallVec;
use thiserror::Error;

use crate::selector::shortened;
use crate::service::{Family, FamilyPolicy, Service, Words};
use crate::settings::{DefaultIpam, Settings};

/// The class that means BGP.
pub const BGP_CLASS: &str = "io.cilium/bgp-control-plane";
/// The class that means announcements on the local network.
pub const L2_CLASS: &str = "io.cilium/l2-announcer";
/// The class that means addresses of nodes.
pub const NODE_CLASS: &str = "io.cilium/node";
/// Addresses asked for, separated by commas.
pub const ADDRESSES: Annotation = Annotation { name: "lbipam.cilium.io/ips", alias: "io.cilium/lb-ipam-ips" };

/// An annotation with its older name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// The name.
    pub name: &'static str,
    /// The older name. It counts only where the new one is absent; present and empty hides it.
    pub alias: &'static str,
}

impl Annotation {
    /// Its value.
    #[must_use]
    pub fn of(self, annotations: &Words) -> Option<&str> {
        annotations.get(self.name).or_else(|| annotations.get(self.alias))
    }

    /// The name under which it is present.
    #[must_use]
    pub fn present_as(self, annotations: &Words) -> Option<&'static str> {
        [self.name, self.alias].into_iter().find(|name| annotations.get(name).is_some())
    }
}

/// Why a Service is none of LB IPAM's.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NotHandled {
    /// `spec.type`.
    #[error("its type is not LoadBalancer")]
    NotLoadBalancer,
    /// `spec.loadBalancerClass` names somebody else.
    #[error("its loadBalancerClass {0:?} is somebody else's")]
    OtherClass(Box<str>),
    /// `spec.loadBalancerClass` names what is switched off here.
    #[error("its loadBalancerClass {0:?} is switched off")]
    ClassOff(Box<str>),
    /// Its class is Node IPAM's.
    #[error("its loadBalancerClass {NODE_CLASS:?} means Node IPAM")]
    NodeClass,
    /// No class, and Services without one are Node IPAM's.
    #[error("it has no loadBalancerClass, and those are Node IPAM's here (default-lb-service-ipam)")]
    DefaultIsNode,
    /// No class, and Services without one are nobody's.
    #[error("it has no loadBalancerClass, and those are nobody's here (default-lb-service-ipam)")]
    DefaultIsNone,
}

/// Whether a Service is LB IPAM's.
///
/// # Errors
///
/// Why not.
pub fn handled(settings: &Settings, service: &Service) -> Result<(), NotHandled> {
    if !service.load_balancer {
        return Err(NotHandled::NotLoadBalancer);
    }
    match (service.class.as_deref(), settings.default_ipam) {
        (None, DefaultIpam::LbIpam) => Ok(()),
        (None, DefaultIpam::NodeIpam) => Err(NotHandled::DefaultIsNode),
        (None, DefaultIpam::None) => Err(NotHandled::DefaultIsNone),
        (Some(BGP_CLASS), _) if settings.bgp_class => Ok(()),
        (Some(L2_CLASS), _) if settings.l2_class => Ok(()),
        (Some(class @ (BGP_CLASS | L2_CLASS)), _) => Err(NotHandled::ClassOff(class.into())),
        (Some(NODE_CLASS), _) => Err(NotHandled::NodeClass),
        (Some(class), _) => Err(NotHandled::OtherClass(class.into())),
    }
}

/// What a Service asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Families or addresses.
    pub wanted: Wanted,
    /// What could not be understood. Not empty: nothing is given but the addresses that were understood, and nothing held is
    /// taken for not being asked for, since the item may mean it.
    pub invalid: Box<[InvalidItem]>,
}

/// Families or addresses. Addresses asked for make the families irrelevant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One address of each, IPv4 first.
    Families(SmallVec<[Family; 2]>),
    /// These, each once, in the order they are written: `spec.loadBalancerIP`, then the annotation.
    Addresses(Box<[IpAddr]>),
}

/// Where a text was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// `spec.loadBalancerIP`.
    LoadBalancerIp,
    /// The annotation of this name.
    Annotation(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadBalancerIp => f.write_str("spec.loadBalancerIP"),
            Self::Annotation(name) => write!(f, "annotation {name}"),
        }
    }
}

/// An item of a request that is not what it should be. The text says where it stands and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[error("{source}: {why}", source = .at)]
pub struct InvalidItem {
    /// Where it is written.
    pub at: Source,
    /// As written, shortened.
    pub text: Box<str>,
    /// What is wrong.
    pub why: Mistake,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Mistake {
    /// Nothing between the commas.
    #[error("there is no address in it: write one, or remove it")]
    Nothing,
    /// IPv4 in the clothes of IPv6, which no Service status can hold.
    #[error("{text:?} is IPv4 written as IPv6, which no Service can have: write {instead}")]
    Mapped {
        /// As written.
        text: Box<str>,
        /// The IPv4 of it.
        instead: IpAddr,
    },
    /// With a prefix length.
    #[error("{0:?} is a prefix, not an address: write the address alone")]
    Prefix(Box<str>),
    /// Not a duration.
    #[error("{0:?} is no duration: write one like 30m or 1h30m")]
    NoDuration(Box<str>),
    /// Not an address.
    #[error("{0:?} is no IP address: write one like 192.0.2.1 or 2001:db8::1, separated by commas")]
    Unparsable(Box<str>),
}

impl Request {
    /// What the Service asks for.
    #[must_use]
    pub fn of(settings: &Settings, service: &Service) -> Self {
        let mut addresses: Vec<IpAddr> = Vec::new();
        let mut invalid = Vec::new();
        let mut read = |at: Source, text: &str| {
            if text.trim().is_empty() {
                return;
            }
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            if items.clone().next().is_none() {
                invalid.push(InvalidItem { at, text: shortened(text), why: Mistake::Nothing });
            }
            for item in items {
                match parse(item) {
                    Ok(address) if addresses.contains(&address) => {}
                    Ok(address) => addresses.push(address),
                    Err(why) => invalid.push(InvalidItem { at, text: shortened(item), why }),
                }
            }
        };
        if let Some(text) = &service.load_balancer_ip {
            read(Source::LoadBalancerIp, text);
        }
        if let Some(name) = ADDRESSES.present_as(&service.annotations) {
            read(Source::Annotation(name), service.annotations.get(name).unwrap_or_default());
        }
        let wanted = if addresses.is_empty() && invalid.is_empty() {
            Wanted::Families(families(settings, service))
        } else {
            Wanted::Addresses(addresses.into())
        };
        Self { wanted, invalid: invalid.into() }
    }

    /// Whether a Service that has the address may keep it, as far as the request goes.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        match &self.wanted {
            Wanted::Families(families) => families.contains(&Family::of(address)),
            Wanted::Addresses(addresses) => !self.invalid.is_empty() || addresses.contains(&address),
        }
    }
}

/// Families by policy. Those a cluster lacks count only for single-stack Services, which name theirs.
fn families(settings: &Settings, service: &Service) -> SmallVec<[Family; 2]> {
    let enabled = || [Family::V4, Family::V6].into_iter().filter(|family| settings.has(*family));
    match service.family_policy {
        FamilyPolicy::SingleStack => {
            let default = if settings.ipv4 { Family::V4 } else { Family::V6 };
            SmallVec::from_iter([service.families.first().copied().unwrap_or(default)])
        }
        FamilyPolicy::PreferDualStack if !service.families.is_empty() => {
            enabled().filter(|family| service.families.contains(family)).collect()
        }
        FamilyPolicy::PreferDualStack | FamilyPolicy::RequireDualStack => enabled().collect(),
    }
}

pub(crate) fn parse(text: &str) -> Result<IpAddr, Mistake> {
    match text.parse() {
        Ok(IpAddr::V6(address)) => match mapped(address) {
            Some(instead) => Err(Mistake::Mapped { text: shortened(text), instead }),
            None => Ok(address.into()),
        },
        Ok(address) => Ok(address),
        Err(_) if text.split_once('/').is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok()) => {
            Err(Mistake::Prefix(shortened(text)))
        }
        Err(_) => Err(Mistake::Unparsable(shortened(text))),
    }
}

fn mapped(address: Ipv6Addr) -> Option<IpAddr> {
    address.to_ipv4_mapped().map(IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(load_balancer_ip: Option<&str>, annotations: &[(&str, &str)]) -> Service {
        Service {
            load_balancer: true,
            load_balancer_ip: load_balancer_ip.map(Into::into),
            annotations: annotations.iter().copied().collect(),
            ..Service::default()
        }
    }

    fn addresses(service: &Service) -> Vec<String> {
        match Request::of(&Settings::default(), service).wanted {
            Wanted::Addresses(addresses) => addresses.iter().map(ToString::to_string).collect(),
            Wanted::Families(_) => panic!("no addresses"),
        }
    }

    #[test]
    fn both_sources_add_up() {
        let service = service(
            Some("10.0.0.3"),
            &[(ADDRESSES.name, " 10.0.0.1, fd00::1,10.0.0.1 ,10.0.0.3,"), (ADDRESSES.alias, "10.9.9.9")],
        );
        assert_eq!(addresses(&service), ["10.0.0.3", "10.0.0.1", "fd00::1"]);
        let request = Request::of(&Settings::default(), &service);
        assert!(request.invalid.is_empty() && request.allows("fd00::1".parse().unwrap()));
        assert!(!request.allows("10.0.0.2".parse().unwrap()));
    }

    #[test]
    fn an_empty_new_name_hides_the_old_one() {
        let service = service(None, &[(ADDRESSES.name, ""), (ADDRESSES.alias, "10.9.9.9")]);
        assert!(matches!(Request::of(&Settings::default(), &service).wanted, Wanted::Families(_)));
        let old = [(ADDRESSES.alias, "10.9.9.9")];
        assert_eq!(addresses(&tests::service(None, &old)), ["10.9.9.9"]);
    }

    #[test]
    fn what_is_no_address_is_named() {
        let service =
            service(Some("none"), &[(ADDRESSES.alias, "10.0.0.1,10.0.0.01, ::ffff:10.0.0.1,10.0.0.0/24")]);
        assert_eq!(addresses(&service), ["10.0.0.1"]);
        let request = Request::of(&Settings::default(), &service);
        let texts: Vec<String> = request.invalid.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "spec.loadBalancerIP: \"none\" is no IP address: write one like 192.0.2.1 or 2001:db8::1, separated by commas",
                "annotation io.cilium/lb-ipam-ips: \"10.0.0.01\" is no IP address: write one like 192.0.2.1 or 2001:db8::1, separated by commas",
                "annotation io.cilium/lb-ipam-ips: \"::ffff:10.0.0.1\" is IPv4 written as IPv6, which no Service can have: write 10.0.0.1",
                "annotation io.cilium/lb-ipam-ips: \"10.0.0.0/24\" is a prefix, not an address: write the address alone",
            ]
        );
        assert!(request.allows("10.0.0.77".parse().unwrap()), "it may be what was meant");
        assert_eq!(
            Request::of(&Settings::default(), &tests::service(None, &[(ADDRESSES.name, ",")])).invalid.len(),
            1
        );
    }

    #[test]
    fn families_by_policy() {
        use Family::{V4, V6};
        use FamilyPolicy::{PreferDualStack, RequireDualStack, SingleStack};
        let (both, four, six) = ((true, true), (true, false), (false, true));
        for (policy, listed, (ipv4, ipv6), expected) in [
            (SingleStack, &[][..], both, &[V4][..]),
            (SingleStack, &[], six, &[V6]),
            (SingleStack, &[V6, V4], four, &[V6]),
            (PreferDualStack, &[], both, &[V4, V6]),
            (PreferDualStack, &[V6, V4], both, &[V4, V6]),
            (PreferDualStack, &[V6], both, &[V6]),
            (PreferDualStack, &[V4, V6], four, &[V4]),
            (RequireDualStack, &[V6], both, &[V4, V6]),
            (RequireDualStack, &[], four, &[V4]),
        ] {
            let service = Service { families: listed.into(), family_policy: policy, ..service(None, &[]) };
            let settings = Settings { ipv4, ipv6, ..Settings::default() };
            assert_eq!(
                families(&settings, &service).as_slice(),
                expected,
                "{policy:?} {listed:?} {ipv4} {ipv6}"
            );
        }
    }

    #[test]
    fn whose_it_is() {
        let of = |class: Option<&str>| Service { class: class.map(Into::into), ..service(None, &[]) };
        let settings = Settings::default();
        for (class, expected) in [
            (None, Ok(())),
            (Some(BGP_CLASS), Ok(())),
            (Some(L2_CLASS), Ok(())),
            (Some(NODE_CLASS), Err(NotHandled::NodeClass)),
            (Some("example.com/x"), Err(NotHandled::OtherClass("example.com/x".into()))),
        ] {
            assert_eq!(handled(&settings, &of(class)), expected);
        }
        let off = Settings { bgp_class: false, l2_class: false, default_ipam: DefaultIpam::None, ..settings };
        assert_eq!(handled(&off, &of(None)), Err(NotHandled::DefaultIsNone));
        assert_eq!(handled(&off, &of(Some(L2_CLASS))), Err(NotHandled::ClassOff(L2_CLASS.into())));
        assert_eq!(handled(&off, &Service::default()), Err(NotHandled::NotLoadBalancer));
    }
}
