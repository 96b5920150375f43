//! A path that fails takes as long for a hundred thousand routes as for one: their next hops are changed, not they.

use anyhow::{Result, ensure};
use conformance::bench::{Daemon, failover};
use conformance::lab::{Lab, Windrosed};

/// From when BFD must call the path down to the last route, at most, in milliseconds. What is measured is said; this is
/// for a debug build on a busy machine.
const AT_MOST_MS: f64 = 50.0;

/// RFC 5880 has the failure seen within 150 ms here; the rest is ours.
#[test]
fn routes_leave_a_path_that_fails_in_constant_time() -> Result<()> {
    let windrosed = Windrosed::program();
    if Lab::for_test(&["bird", "nft", "chrt", &windrosed])?.is_none() {
        return Ok(());
    }
    for count in failover::COUNTS {
        let took = failover::run(Daemon::Windrosed, count)?;
        println!(
            "{count} routes: the kernel sends by the other neighbor {took:.1} ms after BFD must call the path down"
        );
        ensure!(took < AT_MOST_MS, "{count} routes took {took:.1} ms");
    }
    Ok(())
}
