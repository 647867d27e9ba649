//! Programs in Go that tests talk to, built once by the ordinary Go client from a module that pins their versions.
//!
//! `tools/<name>/{go.mod,go.sum}` is the pin; the binaries are kept in `$XDG_CACHE_HOME/rutter/<name>/<version>-<hash>/`, outside
//! of the checkout, so a changed pin builds anew and an unchanged one never does. Go 1.21 or later is enough: it fetches
//! the toolchain that the module names.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// A pinned set of programs.
#[derive(Debug)]
pub(crate) struct GoTools {
    /// Name of the folder below `tools/` and of the one in the cache.
    pub(crate) name: &'static str,
    /// The module whose version names the set.
    pub(crate) module: &'static str,
    /// Program and package, in the order in which they are built.
    pub(crate) programs: &'static [(&'static str, &'static str)],
    /// A string variable in Go that is to hold the version, where a program would not know it otherwise.
    pub(crate) version_variable: Option<&'static str>,
}

impl GoTools {
    /// The folder with all programs, if they were built before.
    pub(crate) fn built(&self) -> Option<PathBuf> {
        self.cache().ok().filter(|cache| self.complete(cache))
    }

    /// The folder with all programs; builds them if they are not there. `other_way` ends the error about a machine without Go.
    pub(crate) fn find_or_build(&self, other_way: &str) -> Result<PathBuf> {
        let cache = self.cache()?;
        if self.complete(&cache) {
            return Ok(cache);
        }
        let go = find_go().with_context(|| {
            format!(
                "no {}: install Go 1.21 or later, which builds it once into {}, or {other_way}",
                self.name,
                cache.display()
            )
        })?;
        self.build(&go, &cache).with_context(|| {
            format!("building {} with {} failed; instead: {other_way}", self.name, go.display())
        })?;
        Ok(cache)
    }

    fn complete(&self, folder: &Path) -> bool {
        self.programs.iter().all(|(program, _)| folder.join(program).is_file())
    }

    fn build(&self, go: &Path, cache: &Path) -> Result<()> {
        let parent = cache.parent().context("the cache folder has no parent")?;
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        // One builder at a time; who comes second finds the result.
        let lock = File::create(parent.join("build.lock"))?;
        lock.lock().context("waiting for another build")?;
        if self.complete(cache) {
            return Ok(());
        }
        let unfinished = tempfile::Builder::new().prefix("build-").tempdir_in(parent)?;
        let mut flags = String::from("-s -w");
        if let Some(variable) = self.version_variable {
            flags.push_str(&format!(" -X {variable}={}", self.version()?));
        }
        for (program, package) in self.programs {
            let output = Command::new(go)
                .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &flags, "-o"])
                .arg(unfinished.path().join(program))
                .arg(package)
                .current_dir(self.folder())
                .output()
                .with_context(|| format!("starting {}", go.display()))?;
            ensure!(
                output.status.success(),
                "`go build {package}`: {}",
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        ensure!(self.complete(unfinished.path()), "`go build` succeeded without making {:?}", self.programs);
        // What stands there is incomplete, else nothing would have been built.
        let _ = fs::remove_dir_all(cache);
        fs::rename(unfinished.keep(), cache).with_context(|| format!("moving it to {}", cache.display()))
    }

    /// The module that is the pin.
    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools").join(self.name)
    }

    /// The version that the pin names.
    pub(crate) fn version(&self) -> Result<String> {
        let file = self.folder().join("go.mod");
        let pin = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        match pinned_version(&pin, self.module) {
            Some(version) => Ok(version.to_owned()),
            None => bail!("{} does not name {}", file.display(), self.module),
        }
    }

    /// Where the programs are kept.
    pub(crate) fn cache(&self) -> Result<PathBuf> {
        let folder = self.folder();
        let pin = fs::read(folder.join("go.mod"))
            .with_context(|| format!("reading {}", folder.join("go.mod").display()))?;
        let sums = fs::read(folder.join("go.sum"))
            .with_context(|| format!("reading {}", folder.join("go.sum").display()))?;
        let base = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
            .context("neither XDG_CACHE_HOME nor HOME is set")?;
        let hash = fnv1a(pin.into_iter().chain(sums));
        Ok(base.join("rutter").join(self.name).join(format!("{}-{hash:016x}", self.version()?)))
    }
}

/// A Go that can fetch the toolchain a module asks for.
pub(crate) fn find_go() -> Option<PathBuf> {
    ["go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"].into_iter().map(PathBuf::from).find(|go| {
        let Ok(output) = Command::new(go).arg("version").output() else { return false };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        minor_version(&said).is_some_and(|minor| minor >= 21)
    })
}

/// The `v1.36.3` of a line `k8s.io/kubernetes v1.36.3` in a `require`.
fn pinned_version<'a>(pin: &'a str, module: &str) -> Option<&'a str> {
    pin.lines().find_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("require ").unwrap_or(line);
        line.strip_prefix(module)?.strip_prefix(' ')?.split_whitespace().next().filter(|word| *word != "=>")
    })
}

/// The 26 of `go version go1.26.8 linux/amd64`.
fn minor_version(said: &str) -> Option<u32> {
    said.split_once("go1.")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
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
    fn pinned_version_is_the_required_one() {
        let pin = "require (\n\texample.org/a/b v9.9.9\n\texample.org/a v1.2.3 // indirect\n)\nreplace example.org/c => example.org/d v0.1.0\n";
        assert_eq!(pinned_version(pin, "example.org/a"), Some("v1.2.3"));
        assert_eq!(pinned_version("require example.org/a v2.0.0", "example.org/a"), Some("v2.0.0"));
        assert_eq!(pinned_version(pin, "example.org/c"), None);
    }

    #[test]
    fn hash_is_the_published_one() {
        assert_eq!(fnv1a("foobar".bytes()), 0x8594_4171_f739_67e8);
    }
}
