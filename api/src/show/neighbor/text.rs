//! FRR's layout of `show bgp neighbors`.
//!
//! Invariant: blocks come in FRR's order, and a line that FRR prints only under a condition hangs on the same condition.

use std::fmt::Write;

use super::capabilities::{
    AddPath, Capabilities, Exchange, HostNames, PathsLimit, RestartFamilies, SoftwareVersions,
};
use super::graceful_restart::{FamilyRestart, GracefulRestart};
use super::{BfdInfo, Connection, FamilyInfo, LastReset, MessageStats, Neighbor, PrefixStats, Switch};
use crate::show::ordered::Ordered;
use crate::show::summary::PeerState;
use crate::show::text::{clock, uptime};

impl Neighbor {
    /// FRR's layout; `key` is the name the neighbour is listed under.
    #[must_use]
    pub fn to_text(&self, key: &str) -> String {
        let mut out = String::new();
        self.render_identity(&mut out, key);
        self.render_state(&mut out);
        if let Some(capabilities) = &self.neighbor_capabilities {
            capabilities.render(&mut out);
        }
        self.graceful_restart_info.render(&mut out);
        self.message_stats.render(&mut out);
        self.prefix_stats.render(&mut out);
        let runs = self.min_btwn_advertisement_runs_timer_msecs / 1000;
        _ = writeln!(out, "  Minimum time between advertisement runs is {runs} seconds");
        for (family, info) in self.address_family_info.iter() {
            info.render(&mut out, family_label(family));
        }
        let (up, down) = (self.connections_established, self.connections_dropped);
        _ = writeln!(out, "\n  Connections established {up}; dropped {down}");
        if let Some(msecs) = self.slow_peer_msecs {
            _ = writeln!(
                out,
                "  Slow peer: has not taken all we sent for {}, {} octets wait",
                uptime(msecs / 1000),
                self.queued_octets.unwrap_or_default()
            );
        }
        self.last_reset.render(&mut out);
        self.render_connection(&mut out);
        out
    }

    fn render_identity(&self, out: &mut String, key: &str) {
        let Self { remote_as, local_as, .. } = self;
        let link = if self.nbr_internal_link { "internal" } else { "external" };
        match &self.bgp_neighbor_addr {
            Some(address) => _ = write!(out, "BGP neighbor on {key}: {address}"),
            None if self.dynamic_peer => _ = write!(out, "BGP neighbor is *{key}"),
            None => _ = write!(out, "BGP neighbor is {key}"),
        }
        _ = writeln!(out, ", remote AS {remote_as}, local AS {local_as}, {link} link");
        _ = writeln!(out, "  Local Role: {}\n  Remote Role: {}", self.local_role, self.remote_role);
        if let Some(description) = &self.nbr_desc {
            _ = writeln!(out, " Description: {description}");
        }
        if let Some(group) = &self.peer_group {
            _ = writeln!(out, " Member of peer-group {group} for session parameters");
        }
        if let Some(range) = &self.peer_subnet_range_group {
            _ = writeln!(out, " Belongs to the subnet range group: {range}");
        }
        if self.hostname != "Unknown" {
            _ = writeln!(out, "Hostname: {}", self.hostname);
        }
        if self.admin_shut_down {
            out.push_str(" Administratively shut down\n");
        }
        let Self { bgp_version, remote_router_id, local_router_id, .. } = self;
        _ = writeln!(
            out,
            "  BGP version {bgp_version}, remote router ID {remote_router_id}, local router ID {local_router_id}"
        );
    }

    fn render_state(&self, out: &mut String) {
        _ = write!(out, "  BGP state = {}", self.bgp_state.name());
        if self.bgp_state == PeerState::Established {
            _ = write!(out, ", up for {}", self.bgp_timer_up_string.as_deref().unwrap_or_default());
        }
        let ago = |msecs: Option<u64>| msecs.map_or_else(|| "never".to_owned(), |msecs| clock(msecs / 1000));
        let (read, written) = (ago(self.bgp_timer_last_read), ago(self.bgp_timer_last_write));
        _ = writeln!(out, "\n  Last read {read}, Last write {written}");
        let mut times = |what: &str, hold: u64, keepalive: u64| {
            let (hold, keepalive) = (hold / 1000, keepalive / 1000);
            _ = writeln!(out, "  {what} is {hold} seconds, keepalive interval is {keepalive} seconds");
        };
        times("Hold time", self.bgp_timer_hold_time_msecs, self.bgp_timer_keep_alive_interval_msecs);
        times(
            "Configured hold time",
            self.bgp_timer_configured_hold_time_msecs,
            self.bgp_timer_configured_keep_alive_interval_msecs,
        );
        let (configured, synced) = (self.bgp_tcp_mss_configured, self.bgp_tcp_mss_synced);
        _ = writeln!(out, "  Configured tcp-mss is {configured}, synced tcp-mss is {synced}");
        if let Some(seconds) = self.bgp_timer_configured_conditional_advertisements_sec {
            _ = writeln!(out, "  Configured conditional advertisements interval is {seconds} seconds");
        }
    }

    fn render_connection(&self, out: &mut String) {
        if self.prefixes_config_exceed_max {
            out.push_str("  Closed because it sent more prefixes than allowed");
            match self.restart_in_timer_msec {
                Some(left) => _ = writeln!(out, "; opened again in {} seconds", left / 1000),
                None if self.reduce_prefix_num_and_clear_ip_bgp => {
                    out.push_str("; stays so until it is reset\n");
                }
                None => out.push('\n'),
            }
        }
        if self.graceful_shutdown {
            out.push_str("  Graceful shutdown: other paths are preferred (RFC 8326)\n");
        }
        if let Some(hops) = self.external_bgp_nbr_max_hops_away {
            _ = writeln!(out, "  External BGP neighbor may be up to {hops} hops away.");
        }
        if let Some(hops) = self.internal_bgp_nbr_max_hops_away {
            _ = writeln!(out, "  Internal BGP neighbor may be up to {hops} hops away.");
        }
        self.connection.render(out);
        _ = writeln!(out, "BGP Connect Retry Timer in Seconds: {}", self.connect_retry_timer);
        if let Some(msecs) = self.next_connect_timer_due_in_msecs {
            _ = writeln!(out, "Next connect timer due in {} seconds", msecs / 1000);
        }
        if let Some(msecs) = self.estimated_rtt_in_msecs {
            _ = writeln!(out, "Estimated round trip time: {msecs} ms");
        }
        if self.authentication_enabled.is_some() {
            out.push_str("Peer Authentication Enabled\n");
        }
        let on = |switch: Switch| if switch == Switch::On { "on" } else { "off" };
        let (read, write) = (on(self.read_thread), on(self.write_thread));
        let descriptor = self.file_descriptor.unwrap_or(-1);
        _ = writeln!(out, "Read thread: {read}  Write thread: {write}  FD used: {descriptor}\n");
        if let Some(bfd) = &self.peer_bfd_info {
            bfd.render(out);
        }
    }
}

impl Capabilities {
    fn render(&self, out: &mut String) {
        out.push_str("  Neighbor capabilities:\n");
        line(out, "4 Byte AS", self.four_byte_as);
        line(out, "Extended Message", self.extended_message);
        if let Some(families) = &self.add_path {
            out.push_str("    AddPath:\n");
            families.iter().for_each(|(family, state)| state.render(out, family_label(family)));
        }
        if let Some(families) = &self.paths_limit {
            out.push_str("    Paths-Limit:\n");
            families.iter().for_each(|(family, limit)| limit.render(out, family_label(family)));
        }
        line(out, "Dynamic", self.dynamic);
        line(out, "Extended nexthop", self.extended_nexthop);
        families_by_peer(out, self.extended_nexthop_families_by_peer.as_ref());
        line(out, "Long-lived Graceful Restart", self.long_lived_graceful_restart);
        families_by_peer(out, self.long_lived_graceful_restart_by_peer.as_ref());
        line(out, "Route refresh", self.route_refresh);
        line(out, "Enhanced Route Refresh", self.enhanced_route_refresh);
        for (family, exchange) in self.multiprotocol_extensions.iter().flat_map(Ordered::iter) {
            let advertised = exchange.advertised || exchange.advertised_and_received;
            let received = exchange.received || exchange.advertised_and_received;
            let title = format!("Address Family {}", family_label(family));
            line(out, &title, Exchange::of(advertised, received));
        }
        if let Some(names) = &self.host_name {
            names.render(out);
        }
        if let Some(versions) = &self.software_version {
            versions.render(out);
        }
        line(out, "Graceful Restart Capability", self.graceful_restart);
        if matches!(self.graceful_restart, Some(Exchange::Received | Exchange::AdvertisedAndReceived)) {
            let seconds = self.graceful_restart_remote_timer_msecs.unwrap_or_default() / 1000;
            _ = writeln!(out, "      Remote Restart timer is {seconds} seconds");
            let families = match &self.address_families_by_peer {
                Some(RestartFamilies::Families(families)) => {
                    let preserved = |yes| if yes { "preserved" } else { "not preserved" };
                    let each = families.iter().map(|(family, state)| {
                        format!("{}({})", family_label(family), preserved(state.preserved))
                    });
                    each.collect::<Vec<_>>().join(", ")
                }
                _ => "none".to_owned(),
            };
            _ = writeln!(out, "      Address families by peer:\n        {families}");
        }
    }
}

fn line(out: &mut String, title: &str, exchange: Option<Exchange>) {
    if let Some(exchange) = exchange {
        _ = writeln!(out, "    {title}: {}", exchange.words());
    }
}

fn families_by_peer(out: &mut String, families: Option<&Ordered<String>>) {
    if let Some(families) = families {
        out.push_str("      Address families by peer:\n");
        families
            .iter()
            .for_each(|(family, _)| _ = writeln!(out, "                   {}", family_label(family)));
    }
}

impl AddPath {
    fn render(&self, out: &mut String, family: &str) {
        let yes = |flag: Option<bool>| flag.unwrap_or_default();
        let directions = [
            ("TX", yes(self.tx_advertised), yes(self.tx_received)),
            ("RX", yes(self.rx_advertised), yes(self.rx_received)),
        ];
        for (direction, advertised, received) in directions {
            if let Some(exchange) = Exchange::of(advertised, received) {
                _ = writeln!(out, "      {family}: {direction} {}", exchange.words());
            }
        }
    }
}

impl PathsLimit {
    fn render(&self, out: &mut String, family: &str) {
        let ours = self.advertised_paths_limit.map(|limit| format!("advertised ({limit})"));
        let theirs = self.received_paths_limit.map(|limit| format!("received ({limit})"));
        let both: Vec<_> = ours.into_iter().chain(theirs).collect();
        _ = writeln!(out, "      {family}: {}", both.join(" and "));
    }
}

impl HostNames {
    fn render(&self, out: &mut String) {
        let unknown = || "n/a".to_owned();
        let names = |host: &Option<String>, domain: &Option<String>| {
            host.clone().map(|host| (host, domain.clone().unwrap_or_else(unknown)))
        };
        out.push_str("    Hostname Capability: ");
        match names(&self.adv_host_name, &self.adv_domain_name) {
            Some((host, domain)) => _ = write!(out, "advertised (name: {host},domain name: {domain})"),
            None => out.push_str("not advertised"),
        }
        match names(&self.rcv_host_name, &self.rcv_domain_name) {
            Some((host, domain)) => _ = writeln!(out, " received (name: {host},domain name: {domain})"),
            None => out.push_str(" not received\n"),
        }
    }
}

impl SoftwareVersions {
    fn render(&self, out: &mut String) {
        out.push_str("    Version Capability: ");
        match &self.advertised_software_version {
            Some(version) => _ = write!(out, "advertised software version ({version})"),
            None => out.push_str("not advertised"),
        }
        match &self.received_software_version {
            Some(version) => _ = writeln!(out, " received software version ({version})"),
            None => out.push_str(" not received\n"),
        }
    }
}

impl GracefulRestart {
    fn render(&self, out: &mut String) {
        out.push_str("  Graceful restart information:\n");
        for (title, families) in
            [("End-of-RIB send", &self.end_of_rib_send), ("End-of-RIB received", &self.end_of_rib_recv)]
        {
            let marked = families.iter().filter(|(_, mark)| **mark);
            let names: Vec<_> = marked.map(|(family, _)| family_label(family)).collect();
            if !names.is_empty() {
                _ = writeln!(out, "    {title}: {}", names.join(", "));
            }
        }
        if let Some(msecs) = self.graceful_restart_timer_msecs {
            _ = writeln!(out, "    The remaining time of restart timer is {}", msecs / 1000);
        }
        if let Some(msecs) = self.graceful_stalepath_timer_msecs {
            _ = writeln!(out, "    The remaining time of stalepath timer is {}", msecs / 1000);
        }
        _ = writeln!(
            out,
            "    Local GR Mode: {}\n    Remote GR Mode: {}",
            self.local_gr_mode, self.remote_gr_mode
        );
        _ = writeln!(out, "    R bit: {}\n    N bit: {}\n    Timers:", truth(self.r_bit), truth(self.n_bit));
        let timers = &self.timers;
        let mut time = |what: &str, seconds: u64| _ = writeln!(out, "      {what}(sec): {seconds}");
        time("Configured Restart Time", timers.configured_restart_timer);
        time("Received Restart Time", timers.received_restart_timer);
        time("Configured LLGR Stale Path Time", timers.configured_llgr_stale_time);
        if let Some(seconds) = timers.restart_timer_remaining {
            time("Restart Time Remaining", seconds);
        }
        for (label, state) in [("IPv4 Unicast", &self.ipv4_unicast), ("IPv6 Unicast", &self.ipv6_unicast)] {
            if let Some(state) = state {
                state.render(out, label);
            }
        }
    }
}

impl FamilyRestart {
    fn render(&self, out: &mut String, label: &str) {
        let yes = |flag| if flag { "Yes" } else { "No" };
        let markers = &self.end_of_rib_status;
        _ = writeln!(out, "    {label}:\n      F bit: {}", truth(self.f_bit));
        _ = writeln!(out, "      End-of-RIB sent: {}", yes(markers.end_of_rib_send));
        _ = writeln!(
            out,
            "      End-of-RIB sent after update: {}",
            yes(markers.end_of_rib_sent_after_update)
        );
        _ = writeln!(out, "      End-of-RIB received: {}\n      Timers:", yes(markers.end_of_rib_recv));
        let timers = &self.timers;
        _ = writeln!(out, "        Configured Stale Path Time(sec): {}", timers.stale_path_timer);
        _ = writeln!(
            out,
            "        Configured Selection Deferral Time(sec): {}",
            timers.selection_deferral_timer
        );
        _ = writeln!(out, "        LLGR Stale Path Time(sec): {}", timers.llgr_stale_time);
        if let Some(seconds) = timers.llgr_stale_time_remaining {
            _ = writeln!(out, "        LLGR Stale Path Remaining(sec): {seconds}");
        }
    }
}

impl MessageStats {
    fn render(&self, out: &mut String) {
        out.push_str("  Message statistics:\n");
        _ = writeln!(out, "    Inq depth is {}\n    Outq depth is {}", self.depth_inq, self.depth_outq);
        _ = writeln!(out, "{:>29}{:>11}", "Sent", "Rcvd");
        let rows = [
            ("Opens:", self.opens_sent, self.opens_recv),
            ("Notifications:", self.notifications_sent, self.notifications_recv),
            ("Updates:", self.updates_sent, self.updates_recv),
            ("Keepalives:", self.keepalives_sent, self.keepalives_recv),
            ("Route Refresh:", self.route_refresh_sent, self.route_refresh_recv),
            ("Capability:", self.capability_sent, self.capability_recv),
            ("Total:", self.total_sent, self.total_recv),
        ];
        for (title, sent, received) in rows {
            _ = writeln!(out, "    {title:15}{sent:>10}{received:>11}");
        }
        out.push('\n');
    }
}

impl PrefixStats {
    fn render(&self, out: &mut String) {
        out.push_str("  Prefix statistics:\n");
        let rows = [
            ("Inbound filtered", self.inbound_filtered),
            ("AS-PATH loop", self.aspath_loop),
            ("Originator loop", self.originator_loop),
            ("Cluster loop", self.cluster_loop),
            ("Invalid next-hop", self.invalid_next_hop),
            ("Withdrawn", self.withdrawn),
            ("Attributes discarded", self.attributes_discarded),
        ];
        for (title, count) in rows {
            _ = writeln!(out, "    {title}: {count}");
        }
        out.push('\n');
    }
}

impl FamilyInfo {
    fn render(&self, out: &mut String, label: &str) {
        _ = writeln!(out, "\n For address family: {label}");
        match (self.update_group_id, self.sub_group_id) {
            (Some(group), Some(subgroup)) => {
                let waiting = self.packet_queue_length.unwrap_or_default();
                _ = writeln!(
                    out,
                    "  Update group {group}, subgroup {subgroup}\n  Packet Queue length {waiting}"
                );
            }
            _ => out.push_str("  Not part of any update group\n"),
        }
        let facts = [
            (self.route_reflector_client, "Route-Reflector Client"),
            (self.inbound_soft_config_permit, "Inbound soft reconfiguration allowed"),
            (self.router_always_next_hop, "NEXT_HOP is always this router"),
            (!self.comm_attri_sent_to_nbr.is_empty(), "Community attribute sent to this neighbor(all)"),
            (self.inbound_path_policy_config, "Inbound path policy configured"),
            (self.outbound_path_policy_config, "Outbound path policy configured"),
        ];
        for (_, fact) in facts.iter().filter(|(holds, _)| *holds) {
            _ = writeln!(out, "  {fact}");
        }
        if let Some(name) = &self.route_map_for_incoming_advertisements {
            _ = writeln!(out, "  Route map for incoming advertisements is *{name}");
        }
        if let Some(name) = &self.route_map_for_outgoing_advertisements {
            _ = writeln!(out, "  Route map for outgoing advertisements is *{name}");
        }
        _ = writeln!(out, "  {} accepted prefixes", self.accepted_prefix_counter);
        if let Some(limit) = self.prefix_allowed_max {
            let only = if self.prefix_allowed_max_warning { " (warning-only)" } else { "" };
            _ = writeln!(out, "  Maximum prefixes allowed {limit}{only}");
        }
        if let Some(percent) = self.prefix_allowed_warning_thresh {
            _ = write!(out, "  Threshold for warning message {percent}%");
            match self.prefix_allowed_restart_interval_msecs {
                Some(msecs) => _ = writeln!(out, ", restart interval {} sec", msecs / 1000),
                None => out.push('\n'),
            }
        }
    }
}

impl LastReset {
    fn render(&self, out: &mut String) {
        let (Some(msecs), Some(due_to)) = (self.last_reset_timer_msecs, &self.last_reset_due_to) else {
            out.push_str("  Last reset never\n");
            return;
        };
        _ = write!(out, "  Last reset {},  ", clock(msecs / 1000));
        match &self.last_notification_reason {
            Some(reason) => {
                let way = if due_to.ends_with("received") { "received" } else { "sent" };
                _ = writeln!(out, "Notification {way} ({reason})");
            }
            // The brackets hold the software the neighbour ran, as in FRR.
            None => _ = writeln!(out, "{due_to} ({})", self.software_version.as_deref().unwrap_or("n/a")),
        }
        if let Some(message) = &self.last_shutdown_description {
            _ = writeln!(out, "    Message: \"{message}\"");
        }
    }
}

impl Connection {
    fn render(&self, out: &mut String) {
        if self.port_local < 0 {
            return;
        }
        _ = writeln!(out, "Local host: {}, Local port: {}", self.host_local, self.port_local);
        _ = writeln!(out, "Foreign host: {}, Foreign port: {}", self.host_foreign, self.port_foreign);
        _ = writeln!(out, "Nexthop: {}", self.nexthop);
        _ = writeln!(out, "Nexthop global: {}", self.nexthop_global);
        _ = writeln!(out, "Nexthop local: {}", self.nexthop_local);
        let network =
            if self.bgp_connection == "sharedNetwork" { "shared network" } else { "non shared network" };
        _ = writeln!(out, "BGP connection: {network}");
    }
}

impl BfdInfo {
    fn render(&self, out: &mut String) {
        let Self { r#type, detect_multiplier, rx_min_interval, tx_min_interval, status, last_update } = self;
        _ = writeln!(out, "  BFD: Type: {type}");
        _ = writeln!(
            out,
            "  Detect Multiplier: {detect_multiplier}, Min Rx interval: {rx_min_interval}, \
             Min Tx interval: {tx_min_interval}"
        );
        _ = writeln!(out, "  Status: {status}, Last update: {last_update}\n");
    }
}

fn truth(flag: bool) -> &'static str {
    if flag { "True" } else { "False" }
}

/// `ipv4Unicast` as people write it.
fn family_label(key: &str) -> &str {
    match key {
        "ipv4Unicast" => "IPv4 Unicast",
        "ipv6Unicast" => "IPv6 Unicast",
        other => other,
    }
}
