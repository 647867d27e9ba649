//! The bgpd binary: options in, exit status out.

use std::process::ExitCode;

use bgpd::options::Options;
use bgpd::{check, daemon, logging};
use clap::Parser;

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.check {
        None => daemon::run(&options),
        Some(named) => match named.as_ref().or(options.config.as_ref()) {
            Some(file) => check::check(file, &options),
            None => Err(daemon::Failure::Option("--check needs a file: bgpd --check FILE".to_owned())),
        },
    };
    logging::finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            #[expect(clippy::print_stderr, reason = "the log may not have started")]
            {
                eprintln!("{failure}");
            }
            failure.exit_code()
        }
    }
}
