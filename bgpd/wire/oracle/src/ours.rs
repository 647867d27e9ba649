//! bgp-wire's own reading.

use bgp_wire::{DecodeContext, Message, PathAttributes};

use crate::{Class, Content, Reading};

/// Reads an UPDATE message.
#[must_use]
pub fn read(frame: &[u8], context: &DecodeContext) -> Reading {
    let update = match Message::decode(frame, context) {
        Ok(Message::Update(update)) => update,
        Ok(other) => return reset(format!("not an UPDATE: {:?}", other.kind())),
        Err(error) => return reset(error.to_string()),
    };
    let why = update.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if update.treat_as_withdraw {
        return Reading { class: Class::Withdraw, content: None, why };
    }
    let class = if update.errors.is_empty() { Class::Accept } else { Class::Discard };
    let announced = update
        .announced()
        .flat_map(|group| group.prefixes.map(move |prefix| (prefix, group.next_hop.address())))
        .collect();
    let withdrawn = update.withdrawn().flat_map(|group| group.prefixes).collect();
    let attributes = PathAttributes { next_hop: None, ..update.attributes };
    Reading { class, content: Some(Content { attributes, announced, withdrawn }), why }
}

fn reset(why: String) -> Reading {
    Reading { class: Class::Reset, content: None, why }
}
