//! Graceful restart (RFC 4724, RFC 8538) as two machines without any effect of their own.
//!
//! | file | what |
//! |---|---|
//! | [`helper`] | a peer restarts: its routes are kept, freshened and swept; one machine per peer, one state per family |
//! | [`restarting`] | we restart: nothing is advertised before we know what; one machine per speaker |
//! | [`capability`] | what the OPENs of both sides say about it |
//!
//! Invariant: the machines only decide. Sessions feed them and carry out what they say, the RIB does it.

pub(crate) mod capability;
pub(crate) mod helper;
pub(crate) mod restarting;
