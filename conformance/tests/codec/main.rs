//! Our decoder against others: sound UPDATEs must say the same to all, broken ones must get the same answer.

mod broken;
mod sound;

#[allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "shared with bgp-core's own tests"
)]
#[path = "../../../bgp-core/tests/strategies/mod.rs"]
mod strategies;
