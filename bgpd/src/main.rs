//! The bgpd binary: options in, exit status out.

use std::process::ExitCode;

use bgpd::daemon;
use bgpd::options::Options;
use clap::Parser;

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.config {
        Some(file) if options.check => daemon::check(file),
        _ => daemon::run(&options),
    };
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
