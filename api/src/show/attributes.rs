//! Path attributes as FRR names them in its show commands.
//!
//! Invariant: the `string` of a list and its `list` hold the same values in the same order.

use std::fmt;

use bgp_wire::{CommunitySet, SegmentKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// ORIGIN (RFC 4271 §5.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ShowOrigin)]
pub enum Origin {
    /// Interior to the originating AS.
    #[default]
    #[serde(rename = "IGP")]
    Igp,
    /// Learned by EGP.
    #[serde(rename = "EGP")]
    Egp,
    /// Learned by other means.
    #[serde(rename = "incomplete")]
    Incomplete,
}

impl Origin {
    /// The letter that ends a path in the tables.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Igp => 'i',
            Self::Egp => 'e',
            Self::Incomplete => '?',
        }
    }

    /// The word in the prefix display and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Igp => "IGP",
            Self::Egp => "EGP",
            Self::Incomplete => "incomplete",
        }
    }
}

impl From<bgp_wire::Origin> for Origin {
    fn from(origin: bgp_wire::Origin) -> Self {
        match origin {
            bgp_wire::Origin::Igp => Self::Igp,
            bgp_wire::Origin::Egp => Self::Egp,
            bgp_wire::Origin::Incomplete => Self::Incomplete,
        }
    }
}

/// AS_PATH, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ShowAsPath)]
pub struct AsPath {
    /// `65002 65003 {65004,65005}`, or `Local` for an empty one.
    pub string: String,
    /// The segments.
    pub segments: Vec<Segment>,
    /// Hops as the decision process counts them: a set is one hop, a confederation segment none.
    pub length: u32,
}

impl From<&bgp_wire::AsPath> for AsPath {
    fn from(path: &bgp_wire::AsPath) -> Self {
        let segments: Vec<Segment> = path.segments().map(Segment::from).collect();
        let string = if segments.is_empty() { "Local".to_owned() } else { path.to_string() };
        let length = u32::try_from(path.hop_count()).unwrap_or(u32::MAX);
        Self { string, segments, length }
    }
}

impl From<bgp_wire::Segment<'_>> for Segment {
    fn from(segment: bgp_wire::Segment<'_>) -> Self {
        let kind = match segment.kind {
            SegmentKind::Sequence => SegmentType::AsSequence,
            SegmentKind::Set => SegmentType::AsSet,
            SegmentKind::ConfedSequence => SegmentType::AsConfedSequence,
            SegmentKind::ConfedSet => SegmentType::AsConfedSet,
        };
        Self { r#type: kind, list: segment.asns().collect() }
    }
}

/// One segment of an AS_PATH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ShowAsPathSegment)]
pub struct Segment {
    /// What kind.
    pub r#type: SegmentType,
    /// Its AS numbers.
    pub list: Vec<u32>,
}

/// Kinds of segments (RFC 4271 §4.3, RFC 5065 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ShowAsPathSegmentType)]
pub enum SegmentType {
    /// AS_SEQUENCE.
    AsSequence,
    /// AS_SET.
    AsSet,
    /// AS_CONFED_SEQUENCE.
    AsConfedSequence,
    /// AS_CONFED_SET.
    AsConfedSet,
}

/// COMMUNITIES (RFC 1997) or LARGE_COMMUNITY (RFC 8092).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ShowCommunities)]
pub struct Communities {
    /// All of them, separated by blanks; well-known ones as `no-export`.
    pub string: String,
    /// One by one; well-known ones as `noExport`, which is how FRR writes them here.
    pub list: Vec<String>,
}

impl Communities {
    /// From the texts of single communities: `65002:100`, `no-export`, `65002:1:2`.
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut all = Self::default();
        for text in texts {
            let text = text.as_ref();
            if !all.string.is_empty() {
                all.string.push(' ');
            }
            all.string.push_str(text);
            all.list.push(camel_case(text));
        }
        all
    }

    /// Nothing if there are none: an absent attribute has no key.
    pub fn non_empty<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Option<Self> {
        Some(Self::new(texts)).filter(|all| !all.list.is_empty())
    }

    /// From an attribute; nothing if it has none.
    pub fn of<T: fmt::Display + Copy + Ord>(set: &CommunitySet<T>) -> Option<Self> {
        Self::non_empty(set.iter().map(T::to_string))
    }

    /// Whether this community, written as in [`Self::string`], is among them.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        self.string.split(' ').any(|each| each == text)
    }
}

/// EXTENDED COMMUNITIES (RFC 4360), for which FRR has no list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ShowExtendedCommunities)]
pub struct ExtendedCommunities {
    /// All of them, separated by blanks: `RT:65001:500`.
    pub string: String,
}

impl ExtendedCommunities {
    /// From an attribute; nothing if it has none.
    #[must_use]
    pub fn of(set: &CommunitySet<bgp_wire::ExtendedCommunity>) -> Option<Self> {
        let all: Vec<_> = set.iter().map(ToString::to_string).collect();
        (!all.is_empty()).then(|| Self { string: all.join(" ") })
    }
}

/// `no-export` becomes `noExport`; `65002:100` stays.
fn camel_case(text: &str) -> String {
    let mut words = text.split('-');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_as_path_from_the_wire() {
        let path: bgp_wire::AsPath = "65001 65002 {65003,65004}".parse().expect("a path");
        let shown = AsPath::from(&path);
        assert_eq!((shown.string.as_str(), shown.length), ("65001 65002 {65003,65004}", 3));
        assert_eq!(shown.segments[1], Segment { r#type: SegmentType::AsSet, list: vec![65003, 65004] });
        let own = AsPath::from(&bgp_wire::AsPath::default());
        assert_eq!((own.string.as_str(), own.length, own.segments.len()), ("Local", 0, 0));
    }

    #[test]
    fn well_known_names_have_two_spellings() {
        let all = Communities::new(["65002:100", "no-export", "graceful-shutdown", "local-AS"]);
        assert_eq!(all.string, "65002:100 no-export graceful-shutdown local-AS");
        assert_eq!(all.list, ["65002:100", "noExport", "gracefulShutdown", "localAS"]);
        assert!(all.contains("no-export") && !all.contains("no-advertise"));
        assert_eq!(Communities::non_empty(Vec::<String>::new()), None);
    }
}
