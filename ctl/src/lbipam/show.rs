//! `rutterctl lbipam show`: pools, addresses, Services, or one address with its history.
//!
//! Invariant: what is shown as given is what the objects say; what is decided and not written yet is marked.

use std::net::IpAddr;

use anyhow::Context;
use k8s_sync::snapshot::Snapshot;
use lbipam::reservation::ReservationView;
use lbipam::view::{Outlook, PoolView, Use};
use lbipam::{ServiceKey, Verdict};
use rutter_api::cilium::table::Table;
use serde::Serialize;

use super::objects::Objects;
use super::operator::{Entry, History};
use super::{Misunderstood, Source, text};
use crate::{Cli, Format, indent, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// `pools`, `addresses`, `services`, `reservations`, or an address
    #[arg(default_value = "pools")]
    what: String,
    #[command(flatten)]
    source: Source,
}

/// What is shown.
enum What {
    Pools,
    Addresses,
    Services,
    Reservations,
    One(IpAddr),
}

/// An address and who has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    address: IpAddr,
    /// The pools that have it; several only if they are in conflict.
    pools: Vec<String>,
    services: Vec<Holder>,
    /// Services that it is kept for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reserved_for: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Holder {
    service: String,
    /// Whether its status says so already.
    written: bool,
}

/// A Service that LB IPAM serves.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Served {
    service: ServiceKey,
    addresses: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Verdict>,
}

/// One address with everything about it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    #[serde(flatten)]
    address: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<History>,
}

pub(crate) async fn run(cli: &Cli, question: &Question) -> anyhow::Result<()> {
    let what = question.understand()?;
    let mut objects = Objects::read(cli, &question.source, &Snapshot::default()).await?;
    objects.world.decide();
    let page = match what {
        What::Pools => {
            let pools: Vec<PoolView> = objects.world.ipam().pools().collect();
            render(cli, &pools, |pools| text_of_pools(pools))?
        }
        What::Addresses => {
            let held: Vec<IpAddr> = objects.world.ipam().addresses().map(|(address, _)| address).collect();
            let all: Vec<Address> = held.into_iter().map(|address| of(&objects, address)).collect();
            render(cli, &all, |all| addresses(all))?
        }
        What::Services => render(cli, &served(&objects), |served| services(served))?,
        What::Reservations => {
            let all: Vec<ReservationView> = objects.world.ipam().reservations().collect();
            render(cli, &all, |all| reservations(all))?
        }
        What::One(address) => {
            let history = match &objects.operator {
                Some(operator) => match operator.history(address).await {
                    Ok(history) => Some(history),
                    Err(why) => {
                        eprintln!("(its history is not known: {why})");
                        None
                    }
                },
                None => None,
            };
            render(cli, &Whole { address: of(&objects, address), history }, one)?
        }
    };
    output::print(&page).context("cannot write the answer")
}

impl Question {
    fn understand(&self) -> Result<What, Misunderstood> {
        let word = self.what.as_str();
        if let Ok(address) = word.parse() {
            return Ok(What::One(address));
        }
        let known = [
            ("pools", What::Pools),
            ("addresses", What::Addresses),
            ("services", What::Services),
            ("reservations", What::Reservations),
        ];
        match known.into_iter().find(|(name, _)| name.starts_with(word)) {
            Some((_, what)) => Ok(what),
            None => Err(Misunderstood(format!(
                "{word:?} cannot be shown; write pools, addresses, services, reservations or an address such as 172.16.1.1"
            ))),
        }
    }
}

fn render<T: Serialize + ?Sized>(
    cli: &Cli,
    value: &T,
    text: impl Fn(&T) -> String,
) -> anyhow::Result<String> {
    Ok(match cli.output {
        Format::Json => indent::json(&serde_json::to_string(value)?),
        Format::Text => text(value),
    })
}

fn text_of_pools(pools: &[PoolView]) -> String {
    if pools.is_empty() {
        return "There is no pool; LB IPAM rests until there is one.\n".to_owned();
    }
    let mut table =
        Table::new(["Pool", "Priority", "State", "Family", "Total", "Used", "Available", "Full", "Ranges"]);
    for pool in pools {
        let families: Vec<(&str, &Use)> = [("IPv4", &pool.ipv4), ("IPv6", &pool.ipv6)]
            .into_iter()
            .filter(|(_, use_)| use_.total.bits() > 0)
            .collect();
        let rows = if families.is_empty() { vec![("-", &pool.ipv4)] } else { families };
        for (index, (family, of)) in rows.into_iter().enumerate() {
            let first = |text: String| if index == 0 { text } else { String::new() };
            let ranges =
                pool.ranges.iter().filter(|range| family == "-" || range.contains(':') == (family == "IPv6"));
            table.push([
                first(pool.name.to_string()),
                first(pool.priority.map_or_else(|| "-".to_owned(), |priority| priority.to_string())),
                first(state(pool).to_owned()),
                family.to_owned(),
                of.total.to_string(),
                of.used.to_string(),
                of.available.to_string(),
                full(of),
                ranges.map(String::as_str).collect::<Vec<_>>().join(", "),
            ]);
        }
    }
    let mut out = table.render();
    for pool in pools {
        let notes = pool.conflict.iter().chain(&pool.bad_blocks).chain(&pool.covers_cluster_range).cloned();
        let staged = (!pool.would_move.is_empty())
            .then(|| format!("its edit waits, since it would move {}", pool.would_move.join(", ")));
        for note in notes.chain(staged).chain(pool.forecast.iter().filter_map(near)) {
            out.push_str(&format!("! pool {}: {note}\n", pool.name));
        }
    }
    out + &quotas(pools)
}

/// A family that is full sooner than the pool's owner wants.
fn near(outlook: &Outlook) -> Option<String> {
    let days =
        outlook.days_to_full.filter(|days| *days < u64::from(outlook.warns_below_days.unwrap_or(0)))?;
    Some(format!("{} full in {days} days, at {:.1} addresses a day", outlook.family, outlook.per_day))
}

/// How much of their quotas namespaces have used.
fn quotas(pools: &[PoolView]) -> String {
    let mut table = Table::new(["Pool", "Namespace", "Used", "Quota"]);
    let all: Vec<_> = pools.iter().flat_map(|pool| pool.quotas.iter().map(move |one| (pool, one))).collect();
    for (pool, quota) in &all {
        let limit = quota.limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
        table.push([pool.name.to_string(), quota.namespace.to_string(), quota.used.to_string(), limit]);
    }
    if all.is_empty() { String::new() } else { format!("\n{}", table.render()) }
}

fn state(pool: &PoolView) -> &'static str {
    match pool {
        PoolView { conflict: Some(_), .. } => "conflict",
        PoolView { covers_cluster_range: Some(_), .. } => "refused",
        PoolView { disabled: true, .. } => "disabled",
        PoolView { on_request_only: true, .. } => "on request",
        _ => "gives",
    }
}

/// How much of it is in use, in whole percent.
fn full(of: &Use) -> String {
    if of.total.bits() == 0 {
        return "-".to_owned();
    }
    format!("{} %", &of.used * 100_u32 / &of.total)
}

fn of(objects: &Objects, address: IpAddr) -> Address {
    let ipam = objects.world.ipam();
    let holder = |service: std::sync::Arc<lbipam::Service>| Holder {
        service: service.key.to_string(),
        written: service.ingress.iter().any(|entry| entry.ip == Some(address)),
    };
    Address {
        address,
        pools: ipam.pools_of(address).map(|name| name.to_string()).collect(),
        services: ipam.occupants(address).into_iter().map(holder).collect(),
        reserved_for: ipam
            .reservations()
            .filter(|one| one.addresses.contains(&address))
            .map(|one| one.service.to_string())
            .collect(),
    }
}

fn addresses(all: &[Address]) -> String {
    if all.is_empty() {
        return "No address is given to anybody.\n".to_owned();
    }
    let mut table = Table::new(["Address", "Pool", "Service"]);
    for one in all {
        table.push([one.address.to_string(), pools_of(one), holders(one)]);
    }
    table.render()
}

fn pools_of(one: &Address) -> String {
    if one.pools.is_empty() { "-".to_owned() } else { one.pools.join(", ") }
}

fn holders(one: &Address) -> String {
    let holder = |holder: &Holder| match holder.written {
        true => holder.service.clone(),
        false => format!("{} (not written yet)", holder.service),
    };
    one.services.iter().map(holder).collect::<Vec<_>>().join(", ")
}

fn served(objects: &Objects) -> Vec<Served> {
    let ipam = objects.world.ipam();
    let ours = objects.world.services().filter(|service| lbipam::handled(ipam.settings(), service).is_ok());
    ours.map(|service| Served {
        service: ServiceKey::clone(&service.key),
        addresses: service.ingress.iter().filter_map(|entry| entry.ip).collect(),
        condition: service.condition.clone(),
    })
    .collect()
}

fn services(served: &[Served]) -> String {
    if served.is_empty() {
        return "There is no Service that LB IPAM serves.\n".to_owned();
    }
    let mut table = Table::new(["Service", "Addresses", "Satisfied"]);
    for one in served {
        let condition = one.condition.as_ref().map_or_else(|| "-".to_owned(), text::verdict);
        table.push([one.service.to_string(), text::list(&one.addresses), condition]);
    }
    table.render()
}

fn reservations(all: &[ReservationView]) -> String {
    if all.is_empty() {
        return "Nothing is reserved.\n".to_owned();
    }
    let mut table =
        Table::new(["Reservation", "Service", "Addresses", "Made by", "Service gone since", "Until"]);
    for one in all {
        let time = |at: Option<jiff::Timestamp>| at.map_or_else(|| "-".to_owned(), seconds);
        table.push([
            one.name.to_string(),
            one.service.to_string(),
            text::list(&one.addresses),
            if one.managed { "the operator" } else { "a person" }.to_owned(),
            time(one.released_at),
            time(one.until),
        ]);
    }
    table.render()
}

fn one(whole: &Whole) -> String {
    let address = &whole.address;
    let mut out = match (address.services.is_empty(), address.pools.is_empty()) {
        (true, true) => format!("{}: in no pool, and nobody has it\n", address.address),
        (true, false) => format!("{}: of pool {}, and nobody has it\n", address.address, pools_of(address)),
        (false, true) => format!("{}: in no pool; {} has it\n", address.address, holders(address)),
        (false, false) => {
            format!("{}: of pool {}; {} has it\n", address.address, pools_of(address), holders(address))
        }
    };
    if !address.reserved_for.is_empty() {
        out.push_str(&format!("It is kept for {}.\n", address.reserved_for.join(", ")));
    }
    let Some(history) = &whole.history else { return out };
    let since = history.since.map(|since| format!(" since {}", seconds(since))).unwrap_or_default();
    if history.entries.is_empty() {
        out.push_str(&format!("\nThe operator has seen nothing happen to it{since}.\n"));
        return out;
    }
    out.push_str(&format!("\nWhat the operator saw{since}, newest first:\n"));
    let mut table = Table::new(["At", "What", "Service"]);
    for Entry { at, service, what } in &history.entries {
        table.push([at.map(seconds).unwrap_or_default(), what.clone(), service.clone()]);
    }
    out.push_str(&table.render());
    out
}

pub(super) fn seconds(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
