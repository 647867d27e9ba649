#![no_main]
//! What was decoded, encoded and decoded again is what it was: attributes, prefixes, next hops, capabilities.

use bgp_wire::{
    AsPath, AttributeBlock, Capability, DecodeContext, EncodeContext, EncodeError, Message, Open,
    PathAttributes, PeerKind, Update, encode_reach, encode_unreach, peek_frame,
};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&[session, kind], body)) = data.split_first_chunk() else { return };
    let Ok(length) = u16::try_from(19 + body.len()) else { return };
    let frame = [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat();
    let context = DecodeContext {
        four_octet_as: session & 1 == 0,
        extended_next_hop: true,
        ..DecodeContext::new(PeerKind::Internal)
    };
    match Message::decode(&frame, &context) {
        Ok(Message::Update(update)) => {
            again(&update, true);
            again(&update, false);
        }
        Ok(Message::Open(open)) => open_again(&open),
        Ok(Message::Notification(sent)) => {
            let encoded = sent.encode();
            match decode(&encoded, true) {
                // Data beyond what every peer reads is cut.
                Message::Notification(received) => assert!(sent.data.starts_with(&received.data)),
                other => panic!("{other:?}"),
            }
        }
        Ok(Message::RouteRefresh(sent)) => {
            let encoded = sent.encode();
            assert!(matches!(decode(&encoded, true), Message::RouteRefresh(received) if received == sent));
        }
        Ok(Message::Keepalive) | Err(_) => {}
    }
});

fn decode(frame: &[u8], four_octet_as: bool) -> Message<'_> {
    let context =
        DecodeContext { four_octet_as, extended_next_hop: true, ..DecodeContext::new(PeerKind::Internal) };
    Message::decode(frame, &context).expect("what we write, we read")
}

/// Sends the update on to a peer with AS numbers of this size.
fn again(update: &Update<'_>, four_octet_as: bool) {
    // Confederation members above 65535 have no place in AS4_PATH (RFC 6793 §4.2.2), so they cannot come back.
    let path: &AsPath = &update.attributes.as_path;
    if !four_octet_as && path.has_confederation() {
        return;
    }
    let context = EncodeContext {
        four_octet_as,
        extended_message: true,
        extended_next_hop: true,
        ..EncodeContext::new()
    };
    let block = AttributeBlock::encode(&update.attributes, &context);
    let mut out = BytesMut::new();
    for group in update.announced() {
        out.clear();
        let sent: Vec<_> = group.prefixes.clone().collect();
        match encode_reach(&mut out, &block, group.family(), &group.next_hop, sent.iter().copied(), &context)
        {
            Ok(_) => {}
            Err(EncodeError::TooLong { needed, max }) if needed > max => return,
            Err(other) => panic!("{other}"),
        }
        let attributes = PathAttributes { next_hop: Some(group.next_hop), ..update.attributes.clone() };
        let mut received = Vec::new();
        each_update(&out, four_octet_as, |update| {
            assert_eq!((&update.errors, &update.attributes), (&Vec::new(), &attributes));
            received.extend(update.announced().flat_map(|group| group.prefixes));
        });
        assert_eq!(received, sent);
    }
    for group in update.withdrawn() {
        out.clear();
        let sent: Vec<_> = group.prefixes.clone().collect();
        encode_unreach(&mut out, group.family(), sent.iter().copied(), &context).expect("a family we carry");
        let mut received = Vec::new();
        each_update(&out, four_octet_as, |update| {
            received.extend(update.withdrawn().flat_map(|group| group.prefixes));
        });
        assert_eq!(received, sent);
    }
}

fn each_update(mut stream: &[u8], four_octet_as: bool, mut visit: impl FnMut(&Update<'_>)) {
    while !stream.is_empty() {
        let length = peek_frame(stream, usize::from(u16::MAX)).expect("a header").expect("a whole header");
        let (frame, rest) = stream.split_at(length);
        match decode(frame, four_octet_as) {
            Message::Update(update) => visit(&update),
            other => panic!("{other:?}"),
        }
        stream = rest;
    }
}

fn open_again(sent: &Open) {
    let short = |text: &str| text.len() <= 64;
    let whole = sent.capabilities.iter().all(|capability| match capability {
        // Texts for people are cut to 64 octets when sent.
        Capability::Fqdn { host, domain } => short(host) && short(domain),
        Capability::SoftwareVersion(version) => short(version),
        _ => true,
    });
    match sent.encode() {
        Ok(encoded) if whole => {
            assert!(matches!(decode(&encoded, true), Message::Open(received) if received == *sent));
        }
        Ok(encoded) => {
            decode(&encoded, true);
        }
        // Many small parameters can hold more than one parameter of two-octet length and a 4,096-octet message.
        Err(EncodeError::Open { len }) => assert!(len > 4096),
        Err(other) => panic!("{other}"),
    }
}
