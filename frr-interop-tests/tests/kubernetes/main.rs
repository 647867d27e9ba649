//! rutter driven by a real Kubernetes API server, one module per subject.
//!
//! The tests share one control plane ([`cluster::shared`]), each with names of its own: node names, a label on its nodes that its
//! `nodeSelector` names, a namespace. A test that breaks the server, or needs an operator with other switches, starts
//! a control plane for itself. Like the other interop tests they need root; the programs come from Go, once, or from
//! `KUBEBUILDER_ASSETS`.

mod advertise;
mod agent;
mod cluster;
mod commands;
mod crds;
mod explain;
mod fixture;
mod lbipam;
mod lbipam_allocate;
mod lbipam_ctl;
mod lbipam_leader;
mod lbipam_pools;
mod lbipam_programs;
mod lbipam_writers;
mod leader;
mod manifests;
mod moving;
mod nodes;
mod one_node;
mod operator;
mod operator_switches;
mod outage;
mod rights;
mod status;
