//! Interoperability with real FRR, BIRD and GoBGP, one module per RFC or feature.
//!
//! Every test has its own network namespaces and may run beside the others; most of its time is waiting, so more test
//! threads than cores are fine (`--test-threads=8`). They need root, the packages `frr` and `bird2`, and Go or `gobgpd`.
//! rutter's bgpd is a binary beside the test's own or in `RUTTER_BIN_DIR`.

mod add_path;
mod attributes_passed;
mod attributes_sent;
mod best_path;
mod collisions;
mod daemons;
mod default_gateway;
mod dynamic;
mod ecmp;
mod endings;
mod enhanced_refresh;
mod extended_messages;
mod graceful_notification;
mod graceful_restart;
mod graceful_shutdown;
mod gtsm;
mod handover;
mod hostile;
mod hostile_mix;
mod instances;
mod intents;
mod lab;
mod llgr;
mod malformed;
mod max_prefix;
mod md5;
mod open_phase;
mod reflection;
mod refresh;
mod refusals;
mod reload;
mod rfc7606;
mod roles;
mod scale;
mod sessions;
mod settings;
mod shown;
mod shutdown_communication;
mod two_octet;
mod update_table;
mod well_known;
mod withdrawals;
