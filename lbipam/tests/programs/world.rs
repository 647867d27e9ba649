//! A program's world: the server, two replicas, one Lease, and writes that are still on their way.
//!
//! Invariant: after each write nobody who may not share has one address with another, other than by an edit of a person's
//! or by a write of a leader that is none any more; and that is put right.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use lbipam::plan::ReservationChange;
use lbipam::{Plan, PoolChange, ServiceChange, Settings};

use crate::check::{Fault, Moment, fault};
use crate::counts;
use crate::dice::Dice;
use crate::oracle::{self, addresses, may_share};
use crate::replica::Replica;
use crate::server::{Author, Server};
use crate::step::{Fate, INHERITED, SERVICES, Step, name};

/// Rounds of a leader without trouble until all is written. Who waits for an address that somebody else loses needs two;
/// what a pool says of it one more.
const ROUNDS: usize = 8;
/// Writes to one object in that time.
const WRITES: usize = 5;

pub(crate) struct World {
    settings: Settings,
    server: Server,
    replicas: [Replica; 2],
    leader: Option<usize>,
    /// By whom, in which of its lives, what.
    under_way: Vec<(usize, Author, Write)>,
    extras: bool,
    authors: u32,
    dice: Dice,
    pub(crate) trace: String,
}

enum Write {
    Service(usize, ServiceChange),
    Pool(PoolChange),
    Reservation(ReservationChange),
}

impl World {
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        let replicas = [Replica::new(1, &settings), Replica::new(2, &settings)];
        let (server, dice) = (Server::new(), Dice::new(seed));
        let trace = String::new();
        Self {
            settings,
            server,
            replicas,
            leader: None,
            under_way: Vec::new(),
            extras: false,
            authors: 2,
            dice,
            trace,
        }
    }

    /// Takes all steps, and settles.
    pub(crate) fn run(&mut self, steps: &[Step]) -> Result<(), Fault> {
        self.extras = steps.iter().any(Step::is_extra);
        for (at, step) in steps.iter().chain([&Step::Settle]).enumerate() {
            let _ = writeln!(self.trace, "{at:>3}. {step}");
            self.take(step)?;
        }
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Result<(), Fault> {
        match step {
            Step::Pools(edits) => self.server.edit_pools(edits),
            Step::Service(slot, edit) => self.server.edit_service(*slot, edit),
            Step::Reserve(slot, address) => self.server.reserve(*slot, INHERITED[*address]),
            Step::Unreserve(slot) => self.server.unreserve(*slot),
            Step::Pass(seconds) => self.server.pass(*seconds),
            Step::Deliver { to, pools, services, all } => self.deliver(*to, *pools, *services, *all),
            Step::Act(fates) => {
                if let Some(leader) = self.leader {
                    self.act(leader, fates)?;
                }
            }
            Step::Peek(who) => {
                if self.leader != Some(*who) {
                    self.plan(*who)?;
                }
            }
            Step::Land => self.land(),
            Step::Lead(who) => self.lead(*who),
            Step::Restart(who) => self.restart(*who),
            Step::Settle => self.settle()?,
        }
        Ok(())
    }

    fn deliver(&mut self, to: usize, pools: bool, services: u16, all: bool) {
        let replica = &mut self.replicas[to];
        for slot in (0..SERVICES).filter(|slot| services & (1 << slot) != 0) {
            replica.hear_service(&self.server, slot, all);
        }
        if pools {
            replica.hear_pools(&self.server, all);
        }
    }

    /// A plan, checked.
    fn plan(&mut self, who: usize) -> Result<Plan, Fault> {
        let now = self.server.now;
        let replica = &mut self.replicas[who];
        replica.view.extras = self.extras;
        let plan = replica.plan(now);
        for change in &plan.services {
            let ips = change
                .ingress
                .as_ref()
                .map(|ingress| ingress.iter().filter_map(|one| one.ip).collect::<Vec<_>>());
            let (key, condition, causes) = (&change.service.key, &change.condition, &change.causes);
            let _ = writeln!(self.trace, "       {who} plans {key}: {ips:?} {condition:?} {causes:?}");
        }
        for change in &plan.pools {
            let of = oracle::name(&change.pool);
            let says: Vec<_> = change.set.iter().map(|one| (&one.type_, &one.status, &one.message)).collect();
            let _ =
                writeln!(self.trace, "       {who} plans pool {of}: {says:?}, without {:?}", change.remove);
        }
        for change in &plan.reservations {
            let _ = writeln!(self.trace, "       {who} plans {change:?}");
        }
        Moment::new(&replica.view, &plan, now)?.check()?;
        counts::check_form(&plan, now)?;
        // Asked again, the same answer.
        let again = replica.ipam.plan(now);
        if again != plan {
            return fault("two minds", format!("asked again: {again:?}"));
        }
        replica.remember(&plan, now);
        Ok(plan)
    }

    /// The leader plans and writes.
    fn act(&mut self, leader: usize, fates: &[Fate]) -> Result<usize, Fault> {
        if self.replicas[leader].frozen {
            return Ok(0);
        }
        let plan = self.plan(leader)?;
        let services = plan.services.into_iter().map(|change| {
            let known = self.replicas[leader].view.services.iter();
            let slot = known.into_iter().find(|(_, service)| service.key == change.service.key);
            Write::Service(slot.map_or(SERVICES, |(slot, _)| *slot), change)
        });
        let reservations = plan.reservations.into_iter().map(Write::Reservation);
        let mut writes: Vec<Write> =
            services.chain(plan.pools.into_iter().map(Write::Pool)).chain(reservations).collect();
        let count = writes.len();
        // They go out at once, and arrive in any order.
        self.dice.shuffle(&mut writes);
        let mut fates = fates.iter().cycle();
        let mut late = false;
        for write in writes {
            if let Write::Service(slot, change) = &write {
                if !self.replicas[leader].may_write(*slot, change) {
                    continue;
                }
                self.replicas[leader].takes_off(*slot, change);
            }
            let fate = if late { Fate::Late } else { *fates.next().unwrap_or(&Fate::Done) };
            match fate {
                Fate::Done | Fate::AnswerLost => self.write(leader, None, &write)?,
                Fate::Failed => {
                    if let Write::Service(slot, _) = write {
                        self.replicas[leader].lands(slot);
                    }
                }
                Fate::Late => {
                    late = true;
                    self.replicas[leader].frozen = true;
                    let author = self.replicas[leader].author;
                    self.under_way.push((leader, author, write));
                }
            }
        }
        Ok(count)
    }

    /// A write reaches the server; `late` if its author led when it left, and may not by now.
    fn write(&mut self, who: usize, late: Option<Author>, write: &Write) -> Result<(), Fault> {
        let now = self.replicas[who].author;
        let author = late.unwrap_or(now);
        let late = author != now || self.leader != Some(who);
        let outcome = match write {
            Write::Pool(change) => self.server.write_pool(change),
            Write::Reservation(change) => self.server.write_reservation(change),
            Write::Service(slot, change) => {
                let outcome = self.server.write_service(*slot, change, (author, late));
                if outcome.is_ok() && !late {
                    self.check_written(who, *slot, change)?;
                }
                outcome
            }
        };
        let what = match write {
            Write::Pool(change) => oracle::name(&change.pool).to_owned(),
            Write::Service(slot, _) => name(*slot),
            Write::Reservation(_) => "a reservation".to_owned(),
        };
        let _ = writeln!(self.trace, "       {who} writes {what}: {outcome:?}");
        Ok(())
    }

    /// What a leader gives nobody else has, as far as it could know.
    fn check_written(&self, who: usize, slot: usize, change: &ServiceChange) -> Result<(), Fault> {
        let old = addresses(&change.service);
        let replica = &self.replicas[who];
        let ingress = change.ingress.iter().flat_map(|ingress| ingress.iter());
        for ip in ingress.filter_map(|entry| entry.ip).filter(|ip| !old.contains(ip)) {
            for (other, holder) in self.server.services.iter().filter(|(other, _)| **other != slot) {
                let written = self.server.written.get(&(holder.uid.clone(), ip));
                let ours = oracle::handled(&self.settings, holder);
                if !addresses(holder).contains(&ip) || (ours && may_share(holder, &change.service)) {
                    continue;
                }
                let excused = match written {
                    None => true,
                    // Landed after its author was deposed.
                    Some((author, late)) => *late && *author != replica.author,
                };
                // An edit that the leader has not heard of made them unlike.
                let known = replica.view.services.get(other);
                let unaware =
                    known.is_some_and(|known| may_share(known, &change.service) && known.uid == holder.uid);
                if !excused && !unaware {
                    let other = name(*other);
                    return fault("written twice", format!("{} gets {ip}, which {other} has", name(slot)));
                }
            }
        }
        Ok(())
    }

    fn land(&mut self) {
        for (who, author, write) in std::mem::take(&mut self.under_way) {
            let _never_a_fault = self.write(who, Some(author), &write);
            self.replicas[who].frozen = false;
        }
    }

    /// A new leader forgets what it thought, and reads everything before it decides anything.
    fn lead(&mut self, who: usize) {
        if self.leader != Some(who) {
            self.leader = Some(who);
            self.authors += 1;
            self.replicas[who] = Replica::new(self.authors, &self.settings);
            let order = self.order();
            self.replicas[who].hear_all(&self.server, &order, order.len() / 2);
        }
    }

    fn restart(&mut self, who: usize) {
        self.authors += 1;
        self.replicas[who] = Replica::new(self.authors, &self.settings);
        if self.leader == Some(who) {
            self.leader = None;
            self.lead(who);
        }
    }

    fn order(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..SERVICES).collect();
        self.dice.shuffle(&mut order);
        order
    }

    /// Everything lands, everybody hears everything, and the leader writes until there is nothing to write.
    fn settle(&mut self) -> Result<(), Fault> {
        self.land();
        let leader = self.leader.unwrap_or(0);
        self.lead(leader);
        self.server.writes.clear();
        let mut quiet = 0;
        for _ in 0..ROUNDS * 2 {
            let order = self.order();
            self.replicas[leader].hear_all(&self.server, &order, 0);
            if self.act(leader, &[Fate::Done])? > 0 {
                quiet = 0;
                continue;
            }
            quiet += 1;
            if quiet == 2 {
                return self.check_rest(leader);
            }
            self.check_deadline(leader)?;
            self.server.pass(self.settings.grace.as_secs() + 1);
        }
        fault("no rest", format!("writes on after {} rounds", ROUNDS * 2))
    }

    /// Who has nothing to write has something to write later only if it says so.
    fn check_deadline(&mut self, leader: usize) -> Result<(), Fault> {
        let deadline = self.replicas[leader].ipam.poll_deadline();
        let later = self.server.now + self.settings.grace + jiff::SignedDuration::from_secs(1);
        let before = deadline.is_none_or(|deadline| deadline > later).then_some(later);
        let mut ahead = self.replicas[leader].ipam.clone();
        match before {
            Some(later) if ahead.plan(later) != Plan::default() => {
                fault("time passes unnoticed", format!("the plan changes, and the deadline is {deadline:?}"))
            }
            _ => Ok(()),
        }
    }

    fn check_rest(&mut self, leader: usize) -> Result<(), Fault> {
        if let Some((uid, count)) = self.server.writes.iter().find(|(_, count)| **count > WRITES) {
            return fault("hot loop", format!("{count} writes to {uid}"));
        }
        let now = self.server.now;
        let view = &self.replicas[leader].view;
        let nothing = Plan::default();
        Moment::new(view, &nothing, now)?.check()?;
        counts::check(&self.server)?;
        self.check_nobody_twice()?;
        // Others who see the same want the same, in whatever order they see it.
        for _ in 0..2 {
            let order = self.order();
            let at = self.dice.below(SERVICES);
            let mut other = Replica::new(0, &self.settings);
            other.hear_all(&self.server, &order, at);
            let plan = other.plan(now);
            if plan != nothing {
                return fault("a fresh one differs", format!("it plans {plan:?}"));
            }
        }
        self.check_same_from_any_order()?;
        // The other replica may remember what nobody does any more; it forgets that before it leads.
        let standby = 1 - leader;
        let order = self.order();
        self.replicas[standby].hear_all(&self.server, &order, 0);
        self.plan(standby)?;
        Ok(())
    }

    /// Had nothing ever been written, everybody would plan the same.
    fn check_same_from_any_order(&mut self) -> Result<(), Fault> {
        let now = self.server.now;
        let mut plans: Vec<Plan> = Vec::new();
        for _ in 0..2 {
            let (mut order, at) = (self.order(), self.dice.below(SERVICES));
            order.retain(|slot| self.server.services.contains_key(slot));
            let mut bare = Replica::new(0, &self.settings);
            for (position, slot) in order.iter().enumerate() {
                if position == at.min(order.len() - 1) {
                    bare.ipam.handle_pools(self.server.pools.values().cloned().collect(), now);
                }
                let mut service = lbipam::Service::clone(&self.server.services[slot]);
                service.ingress = Box::default();
                service.condition = None;
                bare.ipam.handle_service(service.into());
            }
            plans.push(bare.ipam.plan(now));
        }
        if plans[0] == plans[1] { Ok(()) } else { fault("order matters", format!("{plans:?}")) }
    }

    fn check_nobody_twice(&self) -> Result<(), Fault> {
        let services: Vec<_> = self.server.services.values().collect();
        for (at, one) in services.iter().enumerate() {
            let ours: BTreeSet<IpAddr> = addresses(one).into_iter().collect();
            for other in &services[..at] {
                let both = addresses(other).into_iter().find(|ip| ours.contains(ip));
                let excused = [one, other].iter().any(|one| !oracle::handled(&self.settings, one));
                if let Some(ip) =
                    both.filter(|_| !may_share(one, other) && !excused && !self.server.pools.is_empty())
                {
                    return fault("twice at rest", format!("{} and {} have {ip}", one.key, other.key));
                }
            }
        }
        Ok(())
    }
}
