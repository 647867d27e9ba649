//! UPDATE: routes announced and withdrawn (RFC 4271 §4.3, §6.3; RFC 4760; RFC 7606).
//!
//! Order of work: bounds of the three fields, attributes, prefixes, then the judgement over all of them. RFC 7606 lets the
//! strongest disposition win (§3 h), and lets treat-as-withdraw stand only if every prefix could be read (§3 j, §5.2).
//!
//! Invariants: an [`Update`] never announces a prefix whose attributes were malformed, and never loses a withdrawal it
//! could read. Every attribute that was not taken as it came is in [`Update::errors`].

use smallvec::SmallVec;

use crate::attr::PathAttributes;
use crate::attr::next_hop::{NextHop, host_v4};
use crate::attr::row::{AttributeReader, Carried, flag};
use crate::attr::unknown::UnknownAttribute;
use crate::attr::{as4_aggregator, as4_path, table};
use crate::context::DecodeContext;
use crate::cursor::{Cursor, Truncated};
use crate::error::{AttributeError, AttributeFault, Disposition, MessageError, MessageFault, NlriFault};
use crate::family::Family;
use crate::nlri::Prefixes;

/// A decoded UPDATE. Prefixes are read from the frame when iterated.
///
/// Where a prefix is both withdrawn and announced, the announcement counts (RFC 4271 §4.3): go through
/// [`Update::withdrawn`] first.
#[derive(Clone, Debug)]
pub struct Update<'a> {
    /// The path attributes. Their next hop is that of the first of [`Update::announced`]. Empty under treat-as-withdraw.
    pub attributes: PathAttributes,
    /// Set if the message is the End-of-RIB marker of a family (RFC 4724 §2).
    pub end_of_rib: Option<Family>,
    /// Attributes that were discarded, or because of which all prefixes are withdrawn.
    pub errors: Vec<AttributeError>,
    /// All prefixes of the message are taken as withdrawn (RFC 7606 §2).
    pub treat_as_withdraw: bool,
    announced: SmallVec<[Reach<'a>; 1]>,
    withdrawn: SmallVec<[Unreach<'a>; 1]>,
}

/// Announced prefixes with their next hop.
#[derive(Clone, Debug)]
pub struct Reach<'a> {
    /// NEXT_HOP, or the next hop of MP_REACH_NLRI.
    pub next_hop: NextHop,
    /// The prefixes; never none.
    pub prefixes: Prefixes<'a>,
}

/// Withdrawn prefixes.
#[derive(Clone, Debug)]
pub struct Unreach<'a> {
    /// The prefixes; never none.
    pub prefixes: Prefixes<'a>,
}

impl Reach<'_> {
    /// The family of the prefixes.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.prefixes.family()
    }
}

impl Unreach<'_> {
    /// The family of the prefixes.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.prefixes.family()
    }
}

impl<'a> Update<'a> {
    /// What is announced: at most one group from the NLRI field and one from MP_REACH_NLRI. Nothing under
    /// treat-as-withdraw.
    pub fn announced(&self) -> impl ExactSizeIterator<Item = Reach<'a>> + '_ {
        self.announced.iter().cloned()
    }

    /// What is withdrawn, in at most four groups. Under treat-as-withdraw also what would have been announced.
    pub fn withdrawn(&self) -> impl ExactSizeIterator<Item = Unreach<'a>> + '_ {
        self.withdrawn.iter().cloned()
    }

    /// Decodes the body of an UPDATE.
    pub(crate) fn decode(mut body: Cursor<'a>, context: &DecodeContext) -> Result<Self, MessageError> {
        let withdrawn = length_prefixed(&mut body, "Withdrawn Routes Length")?;
        let attributes = length_prefixed(&mut body, "Total Path Attribute Length")?;
        let (withdrawn_field, attribute_field, nlri_field) = (withdrawn, attributes, body);

        let mut walk = Walk::new(context);
        walk.attributes(attribute_field)?;
        let withdrawn = walk.ipv4_field(withdrawn_field, "Withdrawn Routes")?;
        let nlri = walk.ipv4_field(nlri_field, "NLRI")?;
        let mut update = walk.judge(withdrawn, nlri)?;

        if attribute_field.is_empty() && withdrawn_field.is_empty() && nlri_field.is_empty() {
            update.end_of_rib =
                Some(Family::IPV4_UNICAST).filter(|family| context.families.contains(*family));
        }
        Ok(update)
    }
}

/// The attributes read so far, and what was wrong with them.
struct Walk<'c, 'a> {
    context: &'c DecodeContext,
    attributes: PathAttributes,
    carried: Carried<'a>,
    unknown: Vec<UnknownAttribute>,
    seen: Seen,
    errors: Vec<AttributeError>,
    /// The first error that is worth more than a discard, with the attribute it is about.
    withdraw: Option<(AttributeError, &'a [u8])>,
}

impl<'c, 'a> Walk<'c, 'a> {
    fn new(context: &'c DecodeContext) -> Self {
        Self {
            context,
            attributes: PathAttributes::default(),
            carried: Carried::default(),
            unknown: Vec::new(),
            seen: Seen::default(),
            errors: Vec::new(),
            withdraw: None,
        }
    }

    /// Reads all path attributes.
    fn attributes(&mut self, mut field: Cursor<'a>) -> Result<(), MessageError> {
        while !field.is_empty() {
            match Raw::read(&mut field) {
                Ok(raw) => self.attribute(raw)?,
                // RFC 7606 §4: what was read before stays read, the rest cannot be. That costs the routes; but if prefixes
                // are in what is cut off, they cannot be withdrawn, and it costs the session (§3 j).
                Err((place, fault)) => {
                    let disposition = if place.carries_nlri() {
                        Disposition::SessionReset
                    } else {
                        Disposition::TreatAsWithdraw
                    };
                    return self.fault(place, fault, disposition);
                }
            }
        }
        Ok(())
    }

    /// Takes one attribute.
    fn attribute(&mut self, raw: Raw<'a>) -> Result<(), MessageError> {
        let Raw { place, flags, value } = raw;
        if !self.seen.insert(place.code) {
            let disposition =
                if place.carries_nlri() { Disposition::SessionReset } else { Disposition::Discard };
            return self.fault(place, AttributeFault::Duplicate, disposition);
        }
        let Some(row) = table::row(place.code) else {
            if flags & flag::OPTIONAL == 0 {
                return self.fault(place, AttributeFault::UnrecognizedWellKnown, Disposition::SessionReset);
            }
            if flags & flag::TRANSITIVE != 0 {
                self.unknown.push(UnknownAttribute::passed_on(place.code, value.rest()));
            }
            return Ok(());
        };
        let expected = row.class.flags();
        // RFC 7606 §3 c speaks of these two bits only: a Partial bit where it cannot be is no error any more.
        let flags_agree = flags & (flag::OPTIONAL | flag::TRANSITIVE) == expected;
        let mut decode = || {
            let (attributes, carried) = (&mut self.attributes, &mut self.carried);
            (row.decode)(&mut AttributeReader { value, flags, context: self.context, attributes, carried })
        };
        let verdict = if !flags_agree {
            // Wrong flags cost the routes; those inside the attribute have to be read to be withdrawn (§3 j).
            let read = if place.carries_nlri() { decode() } else { Ok(()) };
            read.and(Err(AttributeFault::Flags { found: flags, expected }))
        } else if !row.sender.allows(self.context.peer) {
            Err(AttributeFault::FromExternalPeer)
        } else {
            decode()
        };
        verdict.or_else(|fault| {
            let disposition = row.disposition(&fault);
            self.fault(place, fault, disposition)
        })
    }

    /// Notes what is wrong with an attribute; an error if the session has to end for it.
    fn fault(
        &mut self,
        place: Place<'a>,
        fault: AttributeFault,
        disposition: Disposition,
    ) -> Result<(), MessageError> {
        let error = AttributeError { code: place.code, offset: place.offset, fault, disposition };
        if disposition == Disposition::SessionReset {
            return Err(session_reset(error, place.octets));
        }
        if disposition == Disposition::TreatAsWithdraw {
            self.withdraw.get_or_insert_with(|| (error.clone(), place.octets));
        }
        self.errors.push(error);
        Ok(())
    }

    /// Checks the Withdrawn Routes or the NLRI field. Without IPv4 unicast negotiated, what is in it does not count.
    fn ipv4_field(&mut self, field: Cursor<'a>, name: &'static str) -> Result<Prefixes<'a>, MessageError> {
        let family = Family::IPV4_UNICAST;
        let path_ids = self.context.add_path.contains(family);
        let prefixes = Prefixes::read(field, family, path_ids)
            .map_err(|(offset, fault)| nlri_error(offset, name, fault))?;
        if self.context.families.contains(family) || prefixes.is_empty() {
            return Ok(prefixes);
        }
        self.errors.push(AttributeError {
            code: 0,
            offset: field.offset(),
            fault: AttributeFault::FamilyNotNegotiated(family),
            disposition: Disposition::Discard,
        });
        Ok(Prefixes::none())
    }

    /// Decides what the message means as a whole.
    fn judge(mut self, withdrawn: Prefixes<'a>, nlri: Prefixes<'a>) -> Result<Update<'a>, MessageError> {
        let (mp_next_hop, mp_reach) = self.carried.reach.take().unwrap_or((None, Prefixes::none()));
        let mp_unreach = self.carried.unreach.take();
        let announces = !nlri.is_empty() || !mp_reach.is_empty();
        if announces {
            self.mandatory(!nlri.is_empty());
        } else if let Some((error, octets)) = self
            .withdraw
            .take_if(|_| !foreign_prefixes(&self.errors) && !only_withdraws(&self.seen, &self.errors))
        {
            // RFC 7606 §5.2: attributes without prefixes, and one of them malformed. The prefixes may be what it hides.
            return Err(session_reset(error, octets));
        }
        self.merge_as4();

        let end_of_rib = mp_unreach
            .as_ref()
            .filter(|prefixes| prefixes.is_empty() && withdrawn.is_empty() && !announces)
            .filter(|_| !self.seen.any_but_mp_unreach())
            .map(Prefixes::family);
        let treat_as_withdraw = self.withdraw.is_some();
        let next_hop = self.carried.next_hop.map(|(address, _)| NextHop::V4(address));
        self.attributes.unknown = sorted(self.unknown);
        let mut update = Update {
            attributes: if treat_as_withdraw { PathAttributes::default() } else { self.attributes },
            end_of_rib,
            errors: self.errors,
            treat_as_withdraw,
            announced: SmallVec::new(),
            withdrawn: SmallVec::new(),
        };
        for prefixes in [Some(withdrawn), mp_unreach].into_iter().flatten() {
            update.withdraw(prefixes);
        }
        update.announce(next_hop, nlri);
        update.announce(mp_next_hop, mp_reach);
        Ok(update)
    }

    /// Announced prefixes need the mandatory attributes (RFC 7606 §3 d). NEXT_HOP counts for the NLRI field only: beside
    /// MP_REACH_NLRI it is to be ignored (RFC 4760 §3).
    fn mandatory(&mut self, nlri: bool) {
        for code in [table::ORIGIN, table::AS_PATH, table::NEXT_HOP] {
            if !self.seen.contains(code) && (nlri || code != table::NEXT_HOP) {
                self.withdraw_for(code, 0, AttributeFault::Missing);
            }
        }
        if let Some((address, offset)) = self.carried.next_hop.filter(|_| nlri)
            && let Err(fault) = host_v4(address)
        {
            self.withdraw_for(table::NEXT_HOP, offset, fault);
        }
    }

    fn withdraw_for(&mut self, code: u8, offset: usize, fault: AttributeFault) {
        let error = AttributeError { code, offset, fault, disposition: Disposition::TreatAsWithdraw };
        self.withdraw.get_or_insert_with(|| (error.clone(), &[]));
        self.errors.push(error);
    }

    /// RFC 6793 §4.2.3.
    fn merge_as4(&mut self) {
        let usable = as4_aggregator::merge(&mut self.attributes, self.carried.as4_aggregator.take());
        if let Some(as4) = self.carried.as4_path.take().filter(|_| usable) {
            self.attributes.as_path = as4_path::merge(&self.attributes.as_path, &as4);
        }
    }
}

impl<'a> Update<'a> {
    fn withdraw(&mut self, prefixes: Prefixes<'a>) {
        if !prefixes.is_empty() {
            self.withdrawn.push(Unreach { prefixes });
        }
    }

    fn announce(&mut self, next_hop: Option<NextHop>, prefixes: Prefixes<'a>) {
        match next_hop {
            Some(next_hop) if !self.treat_as_withdraw => {
                if !prefixes.is_empty() {
                    self.attributes.next_hop.get_or_insert(next_hop);
                    self.announced.push(Reach { next_hop, prefixes });
                }
            }
            // Without a next hop there is an error that says so, and treat-as-withdraw.
            _ => self.withdraw(prefixes),
        }
    }
}

/// One attribute as it came.
struct Raw<'a> {
    place: Place<'a>,
    flags: u8,
    value: Cursor<'a>,
}

/// Where in the message an attribute is.
#[derive(Copy, Clone)]
struct Place<'a> {
    /// Attribute type code, 0 if not even that could be read.
    code: u8,
    offset: usize,
    /// The attribute, header included.
    octets: &'a [u8],
}

impl Place<'_> {
    const fn carries_nlri(&self) -> bool {
        matches!(self.code, table::MP_REACH_NLRI | table::MP_UNREACH_NLRI)
    }
}

impl<'a> Raw<'a> {
    /// Takes the next attribute off the field, or says why what is left cannot be one.
    #[inline]
    fn read(field: &mut Cursor<'a>) -> Result<Self, (Place<'a>, AttributeFault)> {
        let (offset, rest, left) = (field.offset(), field.rest(), field.remaining());
        let code = rest.get(1).copied().unwrap_or_default();
        let place = |octets| Place { code, offset, octets };
        let mut header = || {
            let (flags, _code) = (field.u8()?, field.u8()?);
            let long = flags & flag::EXTENDED_LENGTH != 0;
            Ok((flags, if long { field.u16()?.into() } else { field.u8()?.into() }))
        };
        let (flags, announced) =
            header().map_err(|Truncated| (place(rest), AttributeFault::ShortHeader { left }))?;
        let overrun = AttributeFault::Overrun { announced, left: field.remaining() };
        let value = field.sub(announced).map_err(|Truncated| (place(rest), overrun))?;
        let octets = rest.get(..left - field.remaining()).unwrap_or_default();
        Ok(Self { place: place(octets), flags, value })
    }
}

/// Attribute type codes that were met.
#[derive(Default)]
struct Seen([u128; 2]);

impl Seen {
    /// Adds a code; false if it was there.
    fn insert(&mut self, code: u8) -> bool {
        let new = !self.contains(code);
        let [low, high] = &mut self.0;
        *(if code < 128 { low } else { high }) |= Self::bit(code);
        new
    }

    const fn contains(&self, code: u8) -> bool {
        let [low, high] = self.0;
        (if code < 128 { low } else { high }) & Self::bit(code) != 0
    }

    /// Whether there was an attribute other than MP_UNREACH_NLRI.
    const fn any_but_mp_unreach(&self) -> bool {
        let [low, high] = self.0;
        low & !Self::bit(table::MP_UNREACH_NLRI) != 0 || high != 0
    }

    const fn bit(code: u8) -> u128 {
        1 << (code % 128)
    }
}

/// A field behind a two-octet length (RFC 7606 §3 b: one that exceeds the message ends the session).
fn length_prefixed<'a>(body: &mut Cursor<'a>, field: &'static str) -> Result<Cursor<'a>, MessageError> {
    let offset = body.offset();
    let error =
        |announced, left| MessageError::new(offset, MessageFault::FieldLength { field, announced, left });
    let announced = body.u16().map_err(|Truncated| error(2, body.remaining()))?.into();
    let left = body.remaining();
    body.sub(announced).map_err(|Truncated| error(announced, left))
}

/// Whether the message has prefixes of a family that was not negotiated. None of them is kept, so none has to be
/// withdrawn, and not being able to read them is no harm.
fn foreign_prefixes(errors: &[AttributeError]) -> bool {
    errors.iter().any(|error| {
        error.code != table::MP_UNREACH_NLRI && matches!(error.fault, AttributeFault::FamilyNotNegotiated(_))
    })
}

/// Whether all that came, and all that is wrong, is MP_UNREACH_NLRI: RFC 7606 §5.2 speaks of other attributes.
fn only_withdraws(seen: &Seen, errors: &[AttributeError]) -> bool {
    !seen.any_but_mp_unreach() && errors.iter().all(|error| error.code == table::MP_UNREACH_NLRI)
}

fn session_reset(error: AttributeError, octets: &[u8]) -> MessageError {
    let AttributeError { code, offset, fault, .. } = error;
    let fault = MessageFault::Attribute { code, fault };
    // RFC 4271 §6.3: the data is the attribute, except with Malformed Attribute List, which has none.
    let data = if fault.code() == MALFORMED_ATTRIBUTE_LIST { &[] } else { octets };
    MessageError::with_data(offset, fault, data)
}

fn nlri_error(offset: usize, field: &'static str, fault: NlriFault) -> MessageError {
    MessageError::new(offset, MessageFault::Nlri { field, fault })
}

fn sorted(mut unknown: Vec<UnknownAttribute>) -> Box<[UnknownAttribute]> {
    unknown.sort_unstable_by_key(|attribute| attribute.code);
    unknown.into()
}

/// UPDATE Message Error, Malformed Attribute List.
const MALFORMED_ATTRIBUTE_LIST: (u8, u8) = (3, 1);

#[cfg(test)]
mod tests;
