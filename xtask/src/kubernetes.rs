//! `cargo xtask kubernetes`: the programs of a real control plane, for the tests and the demo. `cargo xtask test` does it too, before
//! the step that needs them.

use std::time::Instant;

use anyhow::Result;
use rutter_lab::kube::Binaries;

use crate::deps;

/// Obtains the programs, and says where they are and what that takes.
pub(crate) fn obtain() -> Result<()> {
    deps::ensure(&[&deps::OPENSSL])?;
    let (folder, there) = Binaries::whereabouts()?;
    if !there {
        println!(
            "Building kube-apiserver, kubectl, kube-controller-manager and etcd with Go into {}.\n\
             This happens once, takes some six to ten minutes on two processors, and leaves 300 MB there (Go's own caches: 4 GB).",
            folder.display()
        );
    }
    let begun = Instant::now();
    let binaries = Binaries::find_or_build()?;
    if !there {
        println!("That took {:.0} s.", begun.elapsed().as_secs_f64());
    }
    println!("The programs of the control plane are in {}.", binaries.folder().display());
    Ok(())
}
