//! Explanations and plans for people.
//!
//! Invariant: what is in the value is in the text; words for reasons are those of conditions, so that one can be searched for
//! with the other.

use std::net::IpAddr;

use lbipam::explain::{Asks, Explanation, Holding};
use lbipam::plan::{Cause, Release, Verdict};
use lbipam::world::{Effect, Move};
use rutter_api::cilium::table::Table;

/// An explanation. `supposed`: where the Service comes from, if it is not the one that exists.
pub(super) fn explanation(explanation: &Explanation, supposed: Option<&str>) -> String {
    let mut out = headline(explanation);
    if let Some(place) = supposed {
        out.push_str(&format!("  supposed   as written in {place}; nothing is changed\n"));
    }
    if !explanation.handled {
        return out;
    }
    out.push_str(&format!("  served     {}\n", explanation.standing));
    out.push_str(&format!("  asks for   {}\n", asks(&explanation.asks)));
    for unreadable in &explanation.asks.unreadable {
        out.push_str(&format!("  ! {unreadable}\n"));
    }
    for holding in &explanation.has {
        out.push_str(&format!("  has        {}\n", self::holding(holding)));
    }
    let condition = explanation.condition.as_ref().map_or_else(|| "none yet".to_owned(), verdict);
    out.push_str(&format!("  condition  {condition}\n\n"));
    out.push_str(&sharers(explanation));
    if explanation.pools.is_empty() {
        out.push_str("There is no pool; LB IPAM rests until there is one.\n\n");
    } else {
        let said = pools(explanation);
        let end = if said.is_empty() { "" } else { "\n" };
        out.push_str(&(said + end));
    }
    let outcome = &explanation.outcome;
    for cause in &outcome.causes {
        out.push_str(&format!("{}\n", self::cause(cause)));
    }
    if outcome.causes.is_empty() {
        out.push_str("Nothing is to be done: its status says what it should.\n");
    }
    if let Some(hint) =
        outcome.condition.as_ref().and_then(|verdict| hint(verdict, &explanation.service.to_string()))
    {
        out.push_str(&format!("What to do: {hint}\n"));
    }
    out
}

fn headline(explanation: &Explanation) -> String {
    let name = &explanation.service;
    if !explanation.handled {
        return format!("Service {name}: not served by LB IPAM: {}\n", explanation.standing);
    }
    let outcome = &explanation.outcome;
    let has: Vec<IpAddr> = explanation.has.iter().map(|holding| holding.address).collect();
    let will = list(&outcome.addresses);
    let addresses = match (has[..] == *outcome.addresses, outcome.addresses.is_empty(), has.is_empty()) {
        (true, true, _) => "no address".to_owned(),
        (true, false, _) => format!("has {will}"),
        (false, true, _) => format!("loses {}", list(&has)),
        (false, false, true) => format!("gets {will}"),
        (false, false, false) => format!("has {}, and then {will}", list(&has)),
    };
    let reason = match &outcome.condition {
        Some(verdict) if verdict.satisfied => String::new(),
        Some(verdict) => format!(": {}", verdict.reason),
        None => String::new(),
    };
    format!("Service {name}: {addresses}{reason}\n")
}

fn asks(asks: &Asks) -> String {
    let mut text = if asks.addresses.is_empty() {
        let families: Vec<String> = asks.families.iter().map(ToString::to_string).collect();
        if families.is_empty() { "nothing that can be given".to_owned() } else { families.join(" and ") }
    } else {
        list(&asks.addresses)
    };
    if let Some(key) = &asks.sharing_key {
        text.push_str(&format!(", shared by key {key:?}"));
        if !asks.sharing_namespaces.is_empty() {
            text.push_str(&format!(" also with namespaces {}", asks.sharing_namespaces.join(", ")));
        }
    }
    text
}

fn holding(holding: &Holding) -> String {
    let pool = match (&holding.pool, holding.kept_until) {
        (Some(pool), _) => format!("of pool {pool}"),
        (None, Some(until)) => {
            format!("of no pool, and kept until {} in case it comes back", super::show::seconds(until))
        }
        (None, None) => "of no pool".to_owned(),
    };
    let others: Vec<String> = holding.shared_with.iter().map(ToString::to_string).collect();
    let shared =
        if others.is_empty() { String::new() } else { format!(", shared with {}", others.join(", ")) };
    format!("{} {pool}{shared}", holding.address)
}

/// Who else has the key, and whether the two may share.
fn sharers(explanation: &Explanation) -> String {
    if explanation.sharers.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["Same key", "Addresses", "May share"]);
    for sharer in &explanation.sharers {
        let against = sharer.against.as_ref().map_or_else(|| "yes".to_owned(), |why| format!("no: {why}"));
        table.push([sharer.service.to_string(), list(&sharer.addresses), against]);
    }
    table.render() + "\n"
}

fn pools(explanation: &Explanation) -> String {
    let mut table = Table::new(["Pool", "Priority", "For", "Answer", "Address", "Why"]);
    // What a pool does not even have is said once for all such pools.
    let mut without: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut rows = 0;
    for pool in &explanation.pools {
        let mut first = true;
        for answer in &pool.answers {
            if NOT_THERE.contains(&answer.word) {
                match without.iter_mut().find(|(wants, _)| *wants == &*answer.wants) {
                    Some((_, names)) => names.push(&pool.pool),
                    None => without.push((&answer.wants, vec![&pool.pool])),
                }
                continue;
            }
            let once = |text: String| if first { text } else { String::new() };
            table.push([
                once(pool.pool.to_string()),
                once(pool.priority.map_or_else(|| "-".to_owned(), |priority| priority.to_string())),
                answer.wants.to_string(),
                answer.word.to_owned(),
                answer.address.map(|address| address.to_string()).unwrap_or_default(),
                answer.message.to_string(),
            ]);
            (first, rows) = (false, rows + 1);
        }
    }
    let mut out = if rows > 0 { table.render() } else { String::new() };
    for (wants, names) in without {
        out.push_str(&format!("no {wants} in: {}\n", names.join(", ")));
    }
    for pool in &explanation.pools {
        let notes = pool.notes.iter().map(|note| format!("! pool {}: {note}\n", pool.pool));
        out.extend(notes);
    }
    out
}

/// Answers of pools that do not have what is asked for.
const NOT_THERE: [&str; 2] = ["not_in_pool", "no_address_of_family"];

/// `True satisfied`, or `False` with reason and message.
pub(super) fn verdict(verdict: &Verdict) -> String {
    let status = if verdict.satisfied { "True" } else { "False" };
    let message = if verdict.message.is_empty() { String::new() } else { format!(": {}", verdict.message) };
    format!("{status} {}{message}", verdict.reason)
}

/// Addresses in a row; `-` for none.
pub(super) fn list(addresses: &[IpAddr]) -> String {
    if addresses.is_empty() {
        return "-".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What happens, in a sentence.
fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Allocated { address, pool } => format!("It gets {address} out of pool {pool}."),
        Cause::Released { address, why } => format!("It loses {address}: {}.", release(*why)),
        Cause::Refused { reason, message } => format!("It waits: {reason}: {message}"),
        Cause::Adopted => "Its addresses are taken over as they are; the condition is written.".to_owned(),
    }
}

fn release(why: Release) -> &'static str {
    match why {
        Release::NotInAnyPool => "no pool has it any more",
        Release::SelectorMismatch => "the pool that has it does not select the Service",
        Release::NotRequested => "the Service asks for other addresses",
        Release::FamilyNotWanted => "the Service does not want its family",
        Release::CannotShare => "another Service has it, and the two cannot share it",
        Release::NotOurs => "the Service is no LoadBalancer of ours",
    }
}

/// What a person can do about a refusal.
fn hint(verdict: &Verdict, service: &str) -> Option<String> {
    Some(match &*verdict.reason {
        "no_pool" => "give a pool the address or family, or let its serviceSelector select the Service; rutterctl lbipam plan -f \
                      pool.yaml says what that would do"
            .to_owned(),
        "out_of_ips" => "add a block to a pool that is full".to_owned(),
        "pool_selector_mismatch" => {
            "change the labels that the table names, or ask for an address of a pool that selects the Service".to_owned()
        }
        "already_allocated" => {
            "ask for another address, or let both Services say lbipam.cilium.io/sharing-key".to_owned()
        }
        "already_allocated_incompatible_service" => {
            "make the two fit (the message names the rule), or give up sharing".to_owned()
        }
        "invalid_request" => "write addresses, separated by commas; the lines with ! quote what cannot be read".to_owned(),
        "quota_exceeded" => format!(
            "release an address of the namespace of {service}, or raise the pool's quota (rutter.dev/quota)"
        ),
        "reserved" => "ask for another address, or change the reservation".to_owned(),
        _ => return None,
    })
}

/// A plan: what becomes of whom. `same`: how many Services stay as they are.
pub(super) fn moves(moves: &[Move], same: usize) -> String {
    let mut out = String::new();
    if !moves.is_empty() {
        let mut table = Table::new(["Service", "Effect", "Before", "After", "Why"]);
        for one in moves {
            table.push([
                one.service.to_string(),
                effect(one.effect).to_owned(),
                list(&one.before),
                list(&one.after),
                why(one),
            ]);
        }
        out.push_str(&table.render());
        out.push('\n');
    }
    let count = |effect| moves.iter().filter(|one| one.effect == effect).count();
    out.push_str(&format!(
        "{} released, {} moved, {} served, {} with another condition; {same} stay as they are\n",
        count(Effect::Released),
        count(Effect::Moved),
        count(Effect::Served),
        count(Effect::Condition),
    ));
    out
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Released => "released",
        Effect::Moved => "moved",
        Effect::Served => "served",
        Effect::Condition => "condition",
    }
}

/// The reasons of a move in one cell: why addresses went, where new ones come from, what it waits for.
fn why(one: &Move) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in &one.causes {
        let part = match cause {
            Cause::Released { address, why } if one.before.contains(address) => release(*why).to_owned(),
            Cause::Allocated { address, pool } if one.after.contains(address) => {
                format!("out of pool {pool}")
            }
            _ => continue,
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    if let Some(verdict) = one.condition.as_ref().filter(|verdict| !verdict.satisfied) {
        parts.push(format!("{}: {}", verdict.reason, verdict.message));
    }
    parts.join("; ")
}
