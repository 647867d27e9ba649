//! The network of this machine as the kernel has it: links, addresses, default routes; read again whenever it says that one
//! of them changed.
//!
//! Notifications only say *that* something happened; what is true is read off three dumps. Invariant: a lost notification
//! costs latency and never correctness, and a new value is published only if it differs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_sync::network::{DefaultRoute, Link, Network, OperState};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, State};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::watch;

/// After a reading, so that a burst of changes does not become as many readings.
const BREATH: Duration = Duration::from_millis(50);
/// Without a notification everything is read this often.
const RESCAN: Duration = Duration::from_secs(30);
/// Between attempts when the kernel does not answer.
const RETRY: Duration = Duration::from_secs(2);

const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Follows the network for as long as somebody listens. The first value is there when this returns.
pub(crate) async fn follow() -> watch::Receiver<Network> {
    let (sender, receiver) = watch::channel(Network::default());
    let (first, ready) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(first);
        while !sender.is_closed() {
            if let Err(error) = follow_once(&sender, &mut first).await {
                tracing::warn!(%error, "cannot read the links and routes of this machine; trying again");
            }
            // Whoever waits for a first value shall not wait for a kernel that refuses.
            first.take();
            tokio::time::sleep(RETRY).await;
        }
    });
    let _ = ready.await;
    receiver
}

/// Reads, and reads again, until the connection to the kernel fails.
async fn follow_once(
    sender: &watch::Sender<Network>,
    first: &mut Option<tokio::sync::oneshot::Sender<()>>,
) -> anyhow::Result<()> {
    let (connection, handle, mut notifications) = rtnetlink::new_multicast_connection(&GROUPS)?;
    let connection = Aborted(tokio::spawn(connection));
    while !sender.is_closed() && !connection.0.is_finished() {
        let network = read(&handle).await?;
        sender.send_if_modified(|known| {
            let changed = *known != network;
            if changed {
                *known = network;
            }
            changed
        });
        if let Some(first) = first.take() {
            let _ = first.send(());
        }
        let news = next_news(&mut notifications);
        match tokio::time::timeout(RESCAN, news).await {
            Ok(true) => tokio::time::sleep(BREATH).await,
            Ok(false) => anyhow::bail!("the kernel closed the connection"),
            Err(_quiet) => {}
        }
    }
    Ok(())
}

/// The task that speaks with the kernel ends with whoever needs it.
struct Aborted<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Aborted<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns true when something of interest has changed, false when nothing more will come.
async fn next_news<A>(
    notifications: &mut (impl Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, A)> + Unpin),
) -> bool {
    while let Some((message, _)) = notifications.next().await {
        if is_news(&message.payload) {
            return true;
        }
    }
    false
}

/// Of routes only default routes matter: a router may have many others that change all the time.
fn is_news(payload: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
    match payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
        ) => is_default(route),
        // Also `Overrun`: notifications were lost.
        _ => true,
    }
}

async fn read(handle: &Handle) -> Result<Network, rtnetlink::Error> {
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    let mut network = Network::default();
    let links: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
    for message in &links {
        if let Some((name, link)) = link(message) {
            names.insert(message.header.index, name.clone());
            network.links.insert(name, link);
        }
    }
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        let link = names.get(&message.header.index).and_then(|name| network.links.get_mut(name));
        if let (Some(link), Some(address)) = (link, address(&message)) {
            link.addresses.insert(address);
        }
    }
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        let mut routes = Box::pin(handle.route().get(request).execute());
        while let Some(message) = routes.try_next().await? {
            network.default_routes.extend(default_routes(&message, &names));
        }
    }
    Ok(network)
}

fn link(message: &LinkMessage) -> Option<(String, Link)> {
    let mut found = Link { admin_up: message.header.flags.contains(LinkFlags::Up), ..Link::default() };
    let mut name = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::OperState(State::Up) => found.oper = OperState::Up,
            LinkAttribute::OperState(State::Unknown) => found.oper = OperState::Unknown,
            LinkAttribute::OperState(_) => found.oper = OperState::Down,
            _ => {}
        }
    }
    Some((name?, found))
}

/// The link's own address; `Address` is the other end's on point-to-point links. One that the network has not confirmed yet
/// (RFC 4862 §5.4) is not there yet.
fn address(message: &AddressMessage) -> Option<IpAddr> {
    let flags = message.header.flags;
    if flags.intersects(AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed)
        && !flags.contains(AddressHeaderFlags::Optimistic)
    {
        return None;
    }
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => return Some(*address),
            AddressAttribute::Address(address) => found = Some(*address),
            _ => {}
        }
    }
    found
}

fn is_default(message: &RouteMessage) -> bool {
    let header = &message.header;
    let table = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    header.destination_prefix_length == 0
        && header.kind == RouteType::Unicast
        && table.unwrap_or_else(|| u32::from(header.table)) == u32::from(RouteHeader::RT_TABLE_MAIN)
}

/// One per next hop.
fn default_routes(message: &RouteMessage, names: &BTreeMap<u32, String>) -> Vec<DefaultRoute> {
    if !is_default(message) {
        return Vec::new();
    }
    let metric = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    });
    let metric = metric.unwrap_or_default();
    let route = |index: Option<u32>, attributes: &[RouteAttribute]| {
        let gateway = attributes.iter().find_map(gateway)?;
        Some(DefaultRoute { metric, device: names.get(&index?)?.clone(), gateway })
    };
    let several = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    match several {
        Some(hops) => {
            hops.iter().filter_map(|hop| route(Some(hop.interface_index), &hop.attributes)).collect()
        }
        None => {
            let index = message.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            });
            route(index, &message.attributes).into_iter().collect()
        }
    }
}

/// A gateway of the route's own family. An IPv4 route over an IPv6 neighbour has `Via` and no peer to offer.
fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_loopback_of_this_machine() {
        let network = follow().await;
        let network = network.borrow();
        let lo = &network.links["lo"];
        assert!(lo.addresses.contains(&IpAddr::from([127, 0, 0, 1])), "{network:?}");
        assert!(lo.is_up());
    }

    #[test]
    fn routes_with_one_and_with_several_next_hops() {
        use netlink_packet_route::route::RouteNextHop;
        let names = BTreeMap::from([(2, "eth0".to_owned()), (3, "eth1".to_owned())]);
        let via = |last| RouteAttribute::Gateway(RouteAddress::Inet([192, 0, 2, last].into()));
        let mut message = RouteMessage::default();
        message.header.kind = RouteType::Unicast;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.attributes = vec![RouteAttribute::Oif(2), RouteAttribute::Priority(100), via(1)];
        let expected = |metric, device: &str, last| DefaultRoute {
            metric,
            device: device.to_owned(),
            gateway: IpAddr::from([192, 0, 2, last]),
        };
        assert_eq!(default_routes(&message, &names), [expected(100, "eth0", 1)]);
        let mut hops = vec![RouteNextHop::default(), RouteNextHop::default()];
        (hops[0].interface_index, hops[0].attributes) = (2, vec![via(1)]);
        (hops[1].interface_index, hops[1].attributes) = (3, vec![via(2)]);
        message.attributes = vec![RouteAttribute::MultiPath(hops)];
        assert_eq!(default_routes(&message, &names), [expected(0, "eth0", 1), expected(0, "eth1", 2)]);
        message.attributes.push(RouteAttribute::Table(10));
        assert!(default_routes(&message, &names).is_empty(), "of another table");
        message.attributes.pop();
        message.header.destination_prefix_length = 8;
        assert!(default_routes(&message, &names).is_empty(), "no default route");
    }
}
