//! Running other programs: what is run is printed first, and a failure names the command and its status.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The top of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo puts what it builds in `profile` ("debug" or "release").
pub(crate) fn target_dir(profile: &str) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from).join(profile)
}

/// Whether this process may make network namespaces and install packages itself.
pub(crate) fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// `program args...` in the top folder, with `sudo` in front when it needs root and we are not.
pub(crate) fn as_root(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = if is_root() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg(
            "--preserve-env=RUTTER_BIN_DIR,RUST_TEST_THREADS,XDG_CACHE_HOME,KUBEBUILDER_ASSETS,HOME,PATH,RUST_BACKTRACE,CI",
        )
        .arg(program);
        sudo
    };
    command.current_dir(root());
    command
}

/// Cargo itself, in the top folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs `command` to its end with our own output, printing it first.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    println!("$ {shown}");
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words =
        vec![program.file_name().unwrap_or_else(|| command.get_program()).to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}
