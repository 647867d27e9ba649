//! bgpd's own configuration: the YAML file and how an intent becomes what the speaker takes.

pub mod file;
pub mod position;
pub mod resolve;
