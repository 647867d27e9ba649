//! Runs simulated worlds by their seeds and says which do not hold.

use std::process::ExitCode;
use std::time::Instant;

use bgp_sim::chaos;
use bgp_sim::trace::Trace;
use bgp_sim::world::Figures;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(what) => {
            eprintln!("bgp-sim: {what}\nusage: bgp-sim [--seeds FIRST..END | --seeds ONE] [--trace]");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    let (mut total, mut failed) = (Figures::default(), Vec::new());
    let kept = chaos::kept_seeds().into_iter().filter(|seed| !(options.first..options.end).contains(seed));
    let kept: Vec<u64> = if options.end - options.first > 1 { kept.collect() } else { Vec::new() };
    let count = options.end - options.first + kept.len() as u64;
    for seed in kept.into_iter().chain(options.first..options.end) {
        match chaos::figures(seed) {
            Ok(figures) => total.add(&figures),
            Err(failure) => {
                println!("seed {seed} fails at {:?}: {}", failure.at, failure.what);
                if options.trace {
                    print!("{}", chaos::run(seed, Trace::kept()).1.trace);
                }
                failed.push(seed);
            }
        }
    }
    println!(
        "{count} worlds in {:.1?}: {} steps, {} dials, {} sessions up, {} down, {} collisions, {} octets, {} restarts, {} times routes kept, {} stale ones swept, {} partitions, {} ghosts, {} configurations",
        start.elapsed(),
        total.steps,
        total.dials,
        total.established,
        total.dropped,
        total.collisions,
        total.octets,
        total.restarts,
        total.kept,
        total.swept,
        total.partitions,
        total.ghosts,
        total.configured
    );
    println!("{} passed, {} failed", count - failed.len() as u64, failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Options {
    first: u64,
    end: u64,
    trace: bool,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { first: 0, end: 1000, trace: false };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--trace" => options.trace = true,
                "--seeds" => {
                    let range = arguments.next().ok_or("--seeds needs a value, such as 0..1000")?;
                    let number =
                        |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
                    (options.first, options.end) = match range.split_once("..") {
                        Some((first, end)) => (number(first)?, number(end)?),
                        None => (number(&range)?, number(&range)?.saturating_add(1)),
                    };
                    if options.end < options.first {
                        return Err(format!("{range} runs backwards"));
                    }
                }
                other => return Err(format!("unknown argument {other:?}")),
            }
        }
        Ok(options)
    }
}
