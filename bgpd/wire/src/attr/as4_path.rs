//! AS4_PATH (RFC 6793 §3, §4.2, §6): the real AS numbers, carried past peers that only have two octets for each.
//!
//! Invariant: merging never makes a path shorter or longer than AS_PATH says it is. An AS4_PATH that would is not used.

use super::PathAttributes;
use super::as_path::{self, AsPath, SegmentKind};
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::EncodeContext;
use crate::error::AttributeFault;

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    if reader.context.four_octet_as {
        return Err(AttributeFault::FromFourOctetPeer);
    }
    if reader.value.is_empty() {
        return Err(AttributeFault::Length { found: 0, expected: "at least 6" });
    }
    let path = as_path::read(reader.value, true)?;
    reader.carried.as4_path = Some(path.without_confederation());
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, context: &EncodeContext, out: &mut AttributeWriter<'_>) {
    if context.four_octet_as {
        return;
    }
    let path = attributes.as_path.without_confederation();
    // RFC 6793 §4.2.2: not to be sent if two octets say it all.
    if path.asns().any(|asn| asn > u32::from(u16::MAX)) {
        out.write(false, path.as_octets());
    }
}

/// It is shown as what it was merged into.
pub(super) fn show(_: &PathAttributes) -> Option<String> {
    None
}

/// The path that AS_PATH and AS4_PATH tell together: the leading part of AS_PATH that AS4_PATH does not cover, then
/// AS4_PATH (RFC 6793 §4.2.3).
pub(crate) fn merge(as_path: &AsPath, as4: &AsPath) -> AsPath {
    let Some(mut lead) = as_path.hop_count().checked_sub(as4.hop_count()) else {
        return as_path.clone();
    };
    let mut segments: Vec<(SegmentKind, Vec<u32>)> = Vec::new();
    for segment in as_path.segments() {
        let taken = match segment.kind {
            SegmentKind::Sequence => lead.min(segment.asns().len()),
            SegmentKind::Set => segment.asns().len() * lead.min(1),
            // Confederation segments go along when they lead or follow a segment that was taken whole.
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => segment.asns().len(),
        };
        if taken > 0 {
            segments.push((segment.kind, segment.asns().take(taken).collect()));
        }
        lead = lead.saturating_sub(segment.hop_count());
        if taken < segment.asns().len() {
            break;
        }
    }
    for (position, segment) in as4.segments().enumerate() {
        match segments.last_mut() {
            // Only at the seam: what AS4_PATH keeps apart stays apart.
            Some((SegmentKind::Sequence, last)) if position == 0 && segment.kind == SegmentKind::Sequence => {
                last.extend(segment.asns());
            }
            _ => segments.push((segment.kind, segment.asns().collect())),
        }
    }
    AsPath::from_segments(segments)
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    base
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging() {
        // (AS_PATH, AS4_PATH, together)
        let cases = [
            ("23456 65002", "70000 65002", "70000 65002"),
            ("65001 23456 65002", "70000 65002", "65001 70000 65002"),
            ("65001", "70000 65002", "65001"),
            ("65001 {1,2} 23456", "70000", "65001 {1,2} 70000"),
            ("65001 {1,2} 23456", "{1,2} 70000", "65001 {1,2} 70000"),
            ("(64512) 65001 23456", "70000", "(64512) 65001 70000"),
            ("(64512) 23456", "70000", "(64512) 70000"),
            ("65001 (64512) 23456", "70000", "65001 (64512) 70000"),
            ("23456 65001 (64512) 5", "70000 65001 5", "70000 65001 5"),
            ("", "", ""),
        ];
        for (as_path, as4, together) in cases {
            let merged = merge(&as_path.parse().unwrap(), &as4.parse().unwrap());
            assert_eq!(merged.to_string(), together, "{as_path} and {as4}");
        }
    }
}
