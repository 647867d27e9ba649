//! Hand-overs at any moment of a world in trouble, and in one at rest. `HANDOVER_SEEDS` asks for more of them.

use bgp_sim::handover::run;
use bgp_sim::trace::Trace;

#[test]
fn nobody_hears_of_a_hand_over() {
    let wanted = std::env::var("HANDOVER_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..wanted.unwrap_or(80) {
        if let (Err(failure), _) = run(seed, Trace::default()) {
            let (_, world) = run(seed, Trace::kept());
            panic!("seed {seed}\n{}\n{:?} {}", world.trace, failure.at, failure.what);
        }
    }
}
