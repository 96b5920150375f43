//! Our decoder against others: sound UPDATEs must say the same to all, broken ones must get the same answer.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail, and the enums are others'"
)]

mod broken;
mod mrt;
mod sound;

#[path = "../../../bgp-core/tests/strategies/mod.rs"]
mod strategies;
