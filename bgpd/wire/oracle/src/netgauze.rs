//! NetGauze's reading. It is a collector's codec: it does not know the peer, checks no mandatory attributes and no
//! addresses, so it is asked for structure only. Its values are compared by letting it write the message again.

use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::WritablePdu;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;

/// What NetGauze makes of the structure of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Structure {
    /// Read; this is the message as it writes it again.
    Read(Vec<u8>),
    /// Read except for attributes it calls malformed.
    Malformed(String),
    /// Not read.
    Unreadable(String),
}

/// Reads a message.
#[must_use]
pub fn read(frame: &[u8], four_octet_as: bool) -> Structure {
    let mut context = BgpParsingContext::new(
        four_octet_as,
        Default::default(),
        Default::default(),
        false,
        false,
        false,
        false,
    );
    let message = match BgpMessage::parse(&mut SliceReader::new(frame), &mut context) {
        Ok(message) => message,
        Err(error) => return Structure::Unreadable(error.to_string()),
    };
    if let Some(error) = context.parsing_errors().path_attr_errors().first() {
        return Structure::Malformed(error.to_string());
    }
    let mut written = Vec::new();
    match message.write(&mut written) {
        Ok(()) => Structure::Read(written),
        Err(error) => Structure::Unreadable(format!("{error:?}")),
    }
}
