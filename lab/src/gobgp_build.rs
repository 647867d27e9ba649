//! Where GoBGP's binaries come from: built once by the ordinary Go client, or the distribution's package.
//!
//! `tools/gobgp` pins the version; the binaries are kept in `$XDG_CACHE_HOME/rutter/gobgp/<version>-<hash>/`, so a changed
//! pin builds anew. Without Go (1.21 or later, which fetches the toolchain that the module names) the package is used.
//! Neither is an error that names both ways out, never a skipped test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail, ensure};

/// The two programs of GoBGP.
#[derive(Clone, Debug)]
pub struct GoBgpBinaries {
    /// The daemon.
    pub gobgpd: PathBuf,
    /// Its client.
    pub gobgp: PathBuf,
}

/// The binaries, built if necessary; the first call decides for the whole process.
pub fn gobgp_binaries() -> Result<&'static GoBgpBinaries> {
    static FOUND: OnceLock<Result<GoBgpBinaries, String>> = OnceLock::new();
    FOUND
        .get_or_init(|| find_or_build().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow!("{error}"))
}

/// Whether [`gobgp_binaries`] needs no package: the binaries are in the cache, or there is a Go to build them.
#[must_use]
pub fn can_build_gobgp() -> bool {
    cache_folder(&module()).is_ok_and(|cache| GoBgpBinaries::in_folder(&cache).is_some())
        || find_go().is_some()
}

impl GoBgpBinaries {
    fn in_folder(folder: &Path) -> Option<Self> {
        let binaries = Self { gobgpd: folder.join("gobgpd"), gobgp: folder.join("gobgp") };
        (binaries.gobgpd.exists() && binaries.gobgp.exists()).then_some(binaries)
    }
}

fn find_or_build() -> Result<GoBgpBinaries> {
    let module = module();
    let cache = cache_folder(&module)?;
    if let Some(binaries) = GoBgpBinaries::in_folder(&cache) {
        return Ok(binaries);
    }
    if let Some(go) = find_go() {
        return build(&go, &module, &cache);
    }
    GoBgpBinaries::in_folder(Path::new("/usr/bin")).context(
        "no GoBGP: install Go 1.21 or later, which builds it once into the cache, \
         or the package of your distribution (`apt-get install gobgpd`)",
    )
}

fn build(go: &Path, module: &Path, cache: &Path) -> Result<GoBgpBinaries> {
    let parent = cache.parent().context("the cache folder has no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    // One builder at a time; who comes second finds the result.
    let lock = File::create(parent.join("build.lock"))?;
    lock.lock().context("waiting for another build of GoBGP")?;
    if let Some(binaries) = GoBgpBinaries::in_folder(cache) {
        return Ok(binaries);
    }
    let unfinished = tempfile::Builder::new().prefix("build-").tempdir_in(parent)?;
    let output = Command::new(go)
        .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o"])
        .arg(format!("{}/", unfinished.path().display()))
        .arg("tool")
        .current_dir(module)
        .output()
        .with_context(|| format!("starting {}", go.display()))?;
    ensure!(
        output.status.success(),
        "building GoBGP with {} failed (other way out: `apt-get install gobgpd` and no Go in PATH):\n{}",
        go.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(unfinished.keep(), cache).with_context(|| format!("moving GoBGP to {}", cache.display()))?;
    match GoBgpBinaries::in_folder(cache) {
        Some(binaries) => Ok(binaries),
        None => bail!("`go build` succeeded, but {} has no gobgp and gobgpd", cache.display()),
    }
}

/// The module that pins GoBGP.
fn module() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/gobgp")
}

/// A Go that can fetch the toolchain the module asks for.
fn find_go() -> Option<PathBuf> {
    ["go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"].into_iter().map(PathBuf::from).find(|go| {
        let Ok(output) = Command::new(go).arg("version").output() else { return false };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        minor_version(&said).is_some_and(|minor| minor >= 21)
    })
}

/// The 26 of `go version go1.26.8 linux/amd64`.
fn minor_version(said: &str) -> Option<u32> {
    said.split_once("go1.")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn cache_folder(module: &Path) -> Result<PathBuf> {
    let pin = fs::read_to_string(module.join("go.mod"))
        .with_context(|| format!("reading {}", module.join("go.mod").display()))?;
    let sums = fs::read_to_string(module.join("go.sum"))?;
    let version = pin
        .lines()
        .find_map(|line| line.trim().strip_prefix("github.com/osrg/gobgp/v4 "))
        .and_then(|rest| rest.split_whitespace().next())
        .context("tools/gobgp/go.mod does not name github.com/osrg/gobgp/v4")?;
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    let hash = fnv1a(pin.bytes().chain(sums.bytes()));
    Ok(base.join("rutter/gobgp").join(format!("{version}-{hash:016x}")))
}

/// FNV-1a: the same on every machine and Rust version, which is all that a cache key needs.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_version_is_read() {
        assert_eq!(minor_version("go version go1.26.8 linux/amd64"), Some(26));
        assert_eq!(minor_version("go version go1.19 linux/amd64"), Some(19));
        assert_eq!(minor_version("go version devel"), None);
    }

    #[test]
    fn hash_is_the_published_one() {
        assert_eq!(fnv1a("foobar".bytes()), 0x8594_4171_f739_67e8);
    }
}
