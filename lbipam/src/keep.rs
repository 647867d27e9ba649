//! Which of its addresses a Service keeps.
//!
//! Invariant: an address goes only for a reason that has a name. A pool that is disabled, in conflict or not understood takes
//! nothing away; one that went away takes nothing away before the time of grace is over.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use smallvec::SmallVec;

use crate::ipam::Ipam;
use crate::plan::{Reason, Release};
use crate::request::Wanted;
use crate::roster::{Entry, Held, Id, Lost, News, Say};
use crate::service::Family;
use crate::sharing;

/// What a Service lays claim to.
#[derive(Default)]
pub(crate) struct Claims {
    /// The addresses, the most important first.
    on: Seats,
    /// What it held before.
    before: Seats,
}

type Seats = SmallVec<[Held; 1]>;

/// What becomes of an address that is held.
enum Stay {
    Yes(Held),
    No(Release),
    /// Its time of grace is over, and stays over until a pool has it.
    Over(Held, Release),
}

impl Ipam {
    /// What a Service lays claim to. One that makes its claims anew gets up from all its addresses until it is its turn.
    pub(crate) fn claims(&mut self, id: Id) -> Claims {
        let awake = !self.pools.is_empty();
        let Some(entry) = self.roster.get_mut(id) else { return Claims::default() };
        let News { first_sight, restated, .. } = entry.news;
        let held = if entry.news.unseats() { std::mem::take(&mut entry.held) } else { entry.held.clone() };
        if !(first_sight || restated || !entry.lost.is_empty()) || !entry.is_served() {
            return Claims { on: held.clone(), before: held };
        }
        // What the status says comes first, also what is to go and did not go yet; then what was held besides.
        let before = |address| {
            let lost = entry.lost.iter().map(|lost| &lost.held);
            held.iter().chain(lost).find(|held| held.address == address).cloned()
        };
        // Without pools nothing is decided, so what has to go goes.
        let stands = entry.standing.iter().filter(|address| awake || !entry.loses(**address));
        let said = stands.map(|address| before(*address).unwrap_or_else(|| Held::adopted(*address)));
        let besides = held.iter().filter(|held| !entry.standing.contains(&held.address)).cloned();
        Claims { on: said.chain(besides).collect(), before: held }
    }

    /// Decides which claims of a Service are granted. Whatever changes by that is marked.
    pub(crate) fn keep(&mut self, id: Id, claims: Claims, now: Timestamp) {
        let Some(entry) = self.roster.get(id) else { return };
        let (news, by_family) = (entry.news, matches!(entry.request.wanted, Wanted::Families(_)));
        let (standing, awake) = (entry.standing.clone(), !self.pools.is_empty());
        let mut granted = Seats::new();
        let mut lost: Vec<Lost> = Vec::new();
        for claim in claims.on {
            let address = claim.address;
            let family = Family::of(address);
            // A promise counts where the status leaves something to be wanted.
            let overtaken = by_family
                && !standing.contains(&address)
                && granted.iter().any(|held| Family::of(held.address) == family);
            let stay =
                if overtaken { Stay::No(Release::FamilyNotWanted) } else { self.stays(id, &claim, now) };
            match stay {
                // Nobody has it out of no pool, or of one that is gone, unless it is written.
                Stay::Yes(held)
                    if !standing.contains(&address)
                        && (held.pool.is_none() || (awake && held.bare_since.is_some())) =>
                {
                    lost.push(Lost { held, why: Release::NotInAnyPool });
                }
                Stay::Yes(held) if self.sit_down(id, address, news) => granted.push(held),
                Stay::Yes(held) => lost.push(Lost { held, why: Release::CannotShare }),
                Stay::No(why) => lost.push(Lost { held: claim, why }),
                Stay::Over(held, why) => lost.push(Lost { held, why }),
            }
        }
        let unheld = standing.iter().filter(|address| !granted.iter().any(|held| held.address == **address));
        let unheld: SmallVec<[IpAddr; 1]> = unheld.copied().collect();
        self.set_held(id, &claims.before, granted, lost);
        for address in unheld {
            self.unpromise(id, address);
        }
    }

    /// As long as a status says an address, nobody else is promised it, whatever is decided of the one who has it.
    fn unpromise(&mut self, id: Id, address: IpAddr) {
        let Some(entry) = self.roster.get(id) else { return };
        let is_promised = |other: &&Id| {
            let seated = self.roster.get(**other).filter(|other| other.holds(address));
            seated.is_some_and(|seated| {
                let share = entry.ours && sharing::compatible(&entry.service, &seated.service).is_ok();
                !seated.standing.contains(&address) && !share
            })
        };
        let others = self.occupancy.at(address).iter().filter(|other| **other != id);
        let yielding: SmallVec<[Id; 2]> = others.filter(is_promised).copied().collect();
        for other in yielding {
            self.expel(other, address);
        }
    }

    /// Takes note of what a Service holds from now on.
    fn set_held(&mut self, id: Id, before: &Seats, granted: Seats, lost: Vec<Lost>) {
        let Some(entry) = self.roster.get_mut(id) else { return };
        let (news, dormant) = (std::mem::take(&mut entry.news), self.pools.is_empty());
        let addresses =
            |held: &Seats| held.iter().map(|held| held.address).collect::<SmallVec<[IpAddr; 2]>>();
        let moved = news.unseats() || addresses(before) != addresses(&granted);
        entry.held = granted;
        // Something goes that was ours to give, or that stands in the status.
        let ours = |lost: &Lost| lost.held.pool.is_some() || entry.standing.contains(&lost.held.address);
        if dormant && lost.iter().any(ours) && entry.is_served() {
            entry.say = Say::Refused(Reason::NoPool, "there is no pool".into());
        }
        let gone: SmallVec<[IpAddr; 2]> = lost.iter().map(|lost| lost.held.address).collect();
        let (standing, held) = (entry.standing.clone(), addresses(&entry.held));
        entry.lost.retain(|old| !gone.contains(&old.held.address) && !held.contains(&old.held.address));
        entry.lost.extend(lost);
        entry.lost.retain(|lost| standing.contains(&lost.held.address));
        let (service, held) = (Arc::clone(&entry.service), addresses(&entry.held));
        for seat in before.iter().filter(|seat| !held.contains(&seat.address)) {
            self.vacate(id, seat.address);
        }
        if moved {
            self.touched.extend(held);
            self.touch_key(&service);
        }
    }

    /// Whether an address may stay with a Service, others at it aside.
    fn stays(&mut self, id: Id, held: &Held, now: Timestamp) -> Stay {
        let held = held.clone();
        let Some(entry) = self.roster.get(id) else { return Stay::No(Release::NotOurs) };
        if entry.service.deleting {
            // It stands in its status as long as it is there; nothing new is begun.
            return Stay::No(Release::NotOurs);
        }
        if !entry.ours {
            return Stay::No(Release::NotOurs);
        }
        if self.pools.is_empty() {
            return self.stays_without_pool(held, now);
        }
        if !entry.request.allows(held.address) {
            return Stay::No(match entry.request.wanted {
                Wanted::Families(_) => Release::FamilyNotWanted,
                Wanted::Addresses(_) => Release::NotRequested,
            });
        }
        let service = &entry.service;
        let mut keeping = self
            .pools
            .iter()
            .map(|(_, member)| &member.pool)
            .filter(|pool| pool.keeps(held.address, service));
        let first = keeping.next();
        let covering = first
            .into_iter()
            .chain(keeping)
            .find(|pool| pool.covers_now_or_before(held.address))
            .map(|pool| Arc::clone(&pool.name));
        match (first, covering) {
            (_, Some(name)) => return Stay::Yes(Held { pool: Some(name), bare_since: None, ..held }),
            // A block that is not understood may be the one that has it.
            (Some(_), None) => return Stay::Yes(Held { bare_since: None, ..held }),
            (None, None) => {}
        }
        let covered = self.pools.iter().any(|(_, member)| member.pool.covers(held.address));
        let why = if covered { Release::SelectorMismatch } else { Release::NotInAnyPool };
        let since = match &held.pool {
            Some(name) if self.pools.has(name) => return Stay::No(why),
            Some(name) => held.bare_since.or_else(|| self.pools.gone_at(name)).unwrap_or(now),
            None if covered && held.bare_since.is_none() => return Stay::No(why),
            None => held.bare_since.unwrap_or(now),
        };
        self.grace(held, since, now, why)
    }

    /// Without any pool nothing is decided, but what was given out of pools that went away goes in time.
    fn stays_without_pool(&self, held: Held, now: Timestamp) -> Stay {
        let gone = || held.pool.as_ref().map(|name| self.pools.gone_at(name).unwrap_or(now));
        match held.bare_since.or_else(gone) {
            Some(since) => self.grace(held, since, now, Release::NotInAnyPool),
            None => Stay::Yes(held),
        }
    }

    fn grace(&self, held: Held, since: Timestamp, now: Timestamp, why: Release) -> Stay {
        if now < self.end_of_grace(since) {
            Stay::Yes(Held { bare_since: Some(since), ..held })
        } else {
            Stay::Over(Held { bare_since: Some(since), ..held }, why)
        }
    }

    /// When an address goes that no pool covers since then.
    pub(crate) fn end_of_grace(&self, since: Timestamp) -> Timestamp {
        since.saturating_add(self.settings.grace).unwrap_or(Timestamp::MAX)
    }

    /// Whether a Service can be at an address together with those who are seated there. Some have to get up for it: whoever
    /// was only promised the address when the status of this one says it has it; and whoever is younger, when this one is
    /// seen for the first time.
    fn sit_down(&mut self, id: Id, address: IpAddr, news: News) -> bool {
        let Some(entry) = self.roster.get(id) else { return false };
        let confirmed = entry.standing.contains(&address);
        if confirmed && self.pools.is_empty() {
            return true;
        }
        let mut yielding = Vec::new();
        for other in self.occupancy.at(address).iter().filter(|other| **other != id) {
            let Some(seated) = self.roster.get(*other) else { continue };
            if !seated.holds(address) && confirmed {
                continue;
            }
            if seated.ours && sharing::compatible(&entry.service, &seated.service).is_ok() {
                continue;
            }
            let promised = !seated.standing.contains(&address);
            if confirmed && (promised || (news.first_sight && entry.age < seated.age)) {
                yielding.push(*other);
            } else {
                return false;
            }
        }
        for other in yielding {
            self.expel(other, address);
        }
        true
    }

    /// Somebody has to leave an address to somebody with a better right.
    fn expel(&mut self, id: Id, address: IpAddr) {
        let Some(entry) = self.roster.get_mut(id) else { return };
        let Some(at) = entry.held.iter().position(|held| held.address == address) else { return };
        let held = entry.held.remove(at);
        if entry.standing.contains(&address) {
            entry.lost.push(Lost { held, why: Release::CannotShare });
        }
        let (age, service) = (entry.age.clone(), Arc::clone(&entry.service));
        self.vacate(id, address);
        self.touch_key(&service);
        self.work.insert(age, id);
    }
}

impl Entry {
    /// When the next of its addresses goes by time alone.
    pub(crate) fn deadline(&self, ipam: &Ipam) -> Option<Timestamp> {
        let since = self.held.iter().filter_map(|held| held.bare_since).min()?;
        Some(ipam.end_of_grace(since))
    }
}
