//! What the runners print.

use super::*;

fn count(passed: u32, failed: u32, skipped: u32) -> Option<Count> {
    Some(Count {
        passed,
        failed,
        skipped,
    })
}

#[test]
fn nextest_is_read() {
    let said = "   SKIPPED: needs the program bird\n   test result: ok. 1 passed; 0 failed; 0 ignored\n\
        Summary [   2.620s] 33 tests run: 30 passed (1 slow), 2 failed, 1 timed out, 4 skipped\n";
    assert_eq!(Count::of(said), count(29, 3, 5));
}

#[test]
fn libtest_is_read() {
    let said = "test a ... SKIPPED: needs root\nok\n\
        test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s\n\
        test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
    assert_eq!(Count::of(said), count(5, 1, 2));
}

#[test]
fn a_runner_that_did_not_run_is_noticed() {
    assert_eq!(Count::of("error: could not compile"), None);
}
