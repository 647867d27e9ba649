//! Where GoBGP's binaries come from: built once by the ordinary Go client, or the distribution's package.
//!
//! `tools/gobgp` pins the version. Without Go the package is used. Neither is an error that names both ways out, never a
//! skipped test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Result, anyhow};

use crate::go_tools::{GoTools, find_go};

const TOOLS: GoTools = GoTools {
    name: "gobgp",
    module: "github.com/osrg/gobgp/v4",
    programs: &[
        ("gobgp", "github.com/osrg/gobgp/v4/cmd/gobgp"),
        ("gobgpd", "github.com/osrg/gobgp/v4/cmd/gobgpd"),
    ],
    version_variable: None,
};

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
    TOOLS.built().is_some() || find_go().is_some()
}

impl GoBgpBinaries {
    fn in_folder(folder: &Path) -> Self {
        Self { gobgpd: folder.join("gobgpd"), gobgp: folder.join("gobgp") }
    }
}

fn find_or_build() -> Result<GoBgpBinaries> {
    let packaged = GoBgpBinaries::in_folder(Path::new("/usr/bin"));
    if TOOLS.built().is_none() && find_go().is_none() && packaged.gobgpd.exists() && packaged.gobgp.exists() {
        return Ok(packaged);
    }
    let folder = TOOLS.find_or_build(
        "use the package of your distribution (`apt-get install gobgpd`), with no Go in PATH",
    )?;
    Ok(GoBgpBinaries::in_folder(&folder))
}
