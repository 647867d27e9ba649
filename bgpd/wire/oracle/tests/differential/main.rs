//! The same octets to bgp-wire and to two published codecs. The class (accept, discard, withdraw, reset) and the decoded
//! values must agree; where they do not, the case is in [`disagreement`], with the RFC text that decides.

mod cases;
mod disagreement;
mod generated;
mod message;
