//! Named malformed messages, from external and internal peers.
