//! Type Interface: the addresses of a device of the node, each as a route of its own.

use std::net::IpAddr;

use ipnet::IpNet;
use rutter_api::intent::Origin;

use super::{Advertiser, Entry, Offer, Offers, fits, propose, suffix};
use crate::report::{Finding, Reason, Report};

/// Statements of this type are evaluated first.
const PRIORITY: u8 = 20;

pub(super) fn offer(
    advertiser: &Advertiser<'_>,
    entry: &Entry<'_>,
    report: &mut Report,
    offers: &mut Offers,
) {
    let refuse = |reason| Finding::on(entry.object, format!("{}.interface.name", entry.field), reason);
    let Some(options) = &entry.advertisement.interface else {
        let field = format!("{}.interface", entry.field);
        return report.add(Finding::on(entry.object, field, Reason::InterfaceOptionsMissing));
    };
    let (node, name) = (advertiser.local.name.clone(), options.name.clone());
    let Some(link) = advertiser.local.network.links.get(&name) else {
        return report.add(refuse(Reason::InterfaceUnknown { node, name }));
    };
    if !link.is_up() {
        return report.add(refuse(Reason::InterfaceDown { node, name }));
    }
    let usable: Vec<IpAddr> = link.addresses.iter().copied().filter(|address| is_offered(*address)).collect();
    if usable.is_empty() {
        return report.add(refuse(Reason::InterfaceWithoutAddress { node, name }));
    }
    let prefixes: Vec<IpNet> =
        usable.into_iter().filter(|address| fits(entry.family, address.is_ipv4())).map(IpNet::from).collect();
    if prefixes.is_empty() {
        return;
    }
    let offer = Offer::new(
        PRIORITY,
        (format!("Interface-{}", suffix(entry.family)), format!("Interface {name}")),
        entry.family,
        prefixes,
        &entry.attributes,
        Origin::Igp,
    );
    propose(offer, None, report, offers);
}

/// IPv4 link-local addresses pass, as with Cilium: people announce them between racks on purpose.
fn is_offered(address: IpAddr) -> bool {
    !address.is_loopback()
        && !address.is_unspecified()
        && !address.is_multicast()
        && !matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_others_can_use() {
        for (text, offered) in [
            ("10.0.0.1", true),
            ("169.254.3.1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("0.0.0.0", false),
            ("224.0.0.5", false),
            ("ff02::1", false),
            ("fe80::1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(is_offered(text.parse().unwrap()), offered, "{text}");
        }
    }
}
