#![no_main]
//! Octets to a message: never a panic, and whatever is handed out can be walked, counted and shown.

use std::hint::black_box;

use bgp_wire::{DecodeContext, FamilySet, MAX_LEN, Message, PeerKind, peek_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = black_box(peek_frame(data, MAX_LEN));
    let Some((&[session, kind], body)) = data.split_first_chunk() else { return };
    // The marker and the length would cost the fuzzer most of its luck, so they are written here.
    let length = 19 + body.len();
    let Ok(field) = u16::try_from(length) else { return };
    let frame = [&[0xff; 16][..], &field.to_be_bytes(), &[kind], body].concat();
    let context = context(session);
    match Message::decode(&frame, &context) {
        Ok(Message::Update(update)) => {
            for group in update.announced() {
                assert!(!update.treat_as_withdraw, "a malformed route is never announced");
                assert_eq!(group.prefixes.len(), group.prefixes.clone().count());
                assert!(context.families.contains(group.family()));
            }
            for group in update.withdrawn() {
                assert_eq!(group.prefixes.len(), group.prefixes.clone().count());
                assert!(context.families.contains(group.family()));
            }
            assert_eq!(update.attributes.next_hop.is_some(), update.announced().len() > 0);
            black_box(update.attributes.to_string());
            update.errors.iter().for_each(|error| {
                black_box(error.to_string());
            });
        }
        Ok(Message::Notification(notification)) => {
            black_box(notification.to_string());
        }
        Ok(message) => {
            black_box(message);
        }
        Err(error) => {
            assert!(error.offset <= length, "a fault lies inside the message");
            assert!(error.notification().encode().len() <= MAX_LEN);
            black_box(error.to_string());
        }
    }
});

/// What a session negotiated, from one octet.
fn context(octet: u8) -> DecodeContext {
    let families = |bits: u8| match bits & 3 {
        0 => FamilySet::EMPTY,
        1 => FamilySet::IPV4_UNICAST,
        2 => FamilySet::IPV6_UNICAST,
        _ => FamilySet::ALL,
    };
    DecodeContext {
        peer: if octet & 1 == 0 { PeerKind::External } else { PeerKind::Internal },
        four_octet_as: octet & 2 == 0,
        extended_next_hop: octet & 4 != 0,
        // Both families unless told otherwise: without one there is little to find.
        families: families(!octet >> 3),
        add_path: families(octet >> 5),
    }
}
