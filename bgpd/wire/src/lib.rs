//! BGP-4 messages: octets to values and back.
//!
//! | what | RFC |
//! |---|---|
//! | messages, header, OPEN, UPDATE, NOTIFICATION, KEEPALIVE | 4271 |
//! | which error costs what: attribute discard, treat-as-withdraw, session reset | 7606 |
//! | capabilities, extended optional parameters | 5492, 9072 |
//! | IPv6, IPv4 over IPv6 next hops | 4760, 2545, 8950 |
//! | four-octet AS numbers, AS 0 | 6793, 7607 |
//! | communities: standard, extended, large | 1997, 4360, 8092 |
//! | route reflection attributes | 4456 |
//! | End-of-RIB and graceful restart capability | 4724, 8538, 9494 |
//! | ROUTE-REFRESH, enhanced | 2918, 7313 |
//! | messages above 4,096 octets | 8654 |
//! | shutdown text | 9003 |
//! | path identifiers in NLRI | 7911 |
//!
//! Two invariants hold for the whole crate. Nothing that arrives from the network can panic, so the lints below deny
//! everything that could. And nothing here knows a socket, a clock or a random number: a value goes in, a value comes out.
//!
//! Start at [`peek_frame`] and [`Message::decode`] for the way in, at [`AttributeBlock`] and [`UpdateWriter`] for the
//! way out, and at [`attr::table`] to add a path attribute.

#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod attr;
pub mod capability;
mod context;
mod cursor;
mod encode;
mod error;
mod family;
mod message;
mod nlri;
mod notification;
mod open;
mod route_refresh;
mod update;

pub use attr::aggregator::Aggregator;
pub use attr::as_path::{AS_TRANS, AsPath, Segment, SegmentKind};
pub use attr::community::{Community, CommunitySet};
pub use attr::extended_community::ExtendedCommunity;
pub use attr::large_community::LargeCommunity;
pub use attr::next_hop::NextHop;
pub use attr::origin::Origin;
pub use attr::partial::Partial;
pub use attr::unknown::UnknownAttribute;
pub use attr::{ParseAttributeError, PathAttributes};
pub use capability::{
    AddPath, AddPathMode, Capability, ExtendedNextHop, GracefulRestart, LongLivedFamily, Role,
};
pub use context::{DecodeContext, EncodeContext, PeerKind};
pub use encode::{
    AttributeBlock, PushError, UpdateWriter, encode_end_of_rib, encode_reach, encode_reach_paths,
    encode_unreach, encode_unreach_paths,
};
pub use error::{AttributeError, AttributeFault, Disposition, EncodeError, MessageError, MessageFault};
pub use family::{Family, FamilySet};
pub use message::{HEADER_LEN, KEEPALIVE, MAX_EXTENDED_LEN, MAX_LEN, Message, MessageKind, peek_frame};
pub use nlri::Prefixes;
pub use notification::{MAX_SHUTDOWN_TEXT, Notification, cease};
pub use open::Open;
pub use route_refresh::{RefreshSubtype, RouteRefresh};
pub use update::{Reach, Unreach, Update};
