//! The show commands: their answers as JSON with FRR 10.3's keys, and the same as text in FRR 10.3's layout.
//!
//! One file per thing shown, each with its response type and `to_text`; one row per command in [`command::COMMANDS`],
//! which bgpd's router, `rutterctl`'s grammar and the OpenAPI document all follow. What FRR does wrong is not copied: the
//! list is in the book's chapter on the show commands.
//!
//! Invariant: whatever can be shown is valid JSON, and the text is made of nothing but the JSON's values.

pub mod adjacency;
pub mod attributes;
pub mod command;
pub mod history;
pub mod neighbor;
pub mod ordered;
pub mod prefix;
pub mod summary;
pub mod table;
pub mod text;
