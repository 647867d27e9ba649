//! What restarts of bgpd cost its neighbours: `rutter_lab::restarts`, often, printed.

use anyhow::{Result, bail};
use clap::Args as ClapArgs;
use rutter_lab::restarts::{Kind, measure};

use crate::run;

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// How many restarts of each kind.
    #[arg(long, default_value_t = 50)]
    count: usize,
    /// Which kinds: kill (SIGKILL), sigterm (--on-sigterm restart), handover (--take-over, graceful restart off).
    #[arg(long, value_delimiter = ',', default_value = "kill,sigterm,handover")]
    kinds: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Ok(folder) = std::env::var("RUTTER_BIN_DIR") else {
        // The lab looks there for bgpd.
        let mut again = std::process::Command::new(std::env::current_exe()?);
        again.args(std::env::args_os().skip(1)).env("RUTTER_BIN_DIR", run::target_dir("release"));
        return run::run(&mut again);
    };
    println!(
        "bgpd from {folder}, restarted {} times per kind beside FRR (TCP MD5), BIRD and GoBGP, 50 pings a second through each",
        args.count
    );
    for kind in &args.kinds {
        let kind = match kind.as_str() {
            "kill" => Kind::Kill,
            "sigterm" => Kind::Sigterm,
            "handover" => Kind::Handover,
            other => bail!("there is no kind {other}; there are kill, sigterm and handover"),
        };
        println!("{}", measure(kind, args.count)?);
    }
    Ok(())
}
