//! How many tests passed, by what the runners say.

use std::fmt;
use std::ops::AddAssign;

/// Tests and checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Count {
    /// What cargo-nextest or libtest said. A test that ran and said `SKIPPED:` passes for them; not for
    /// us. `None` if no runner summed up.
    pub(crate) fn of(said: &str) -> Option<Self> {
        let nextest = said.lines().filter_map(nextest_summary).next_back();
        let libtest = said.lines().filter_map(libtest_summary).reduce(|mut a, b| {
            a += b;
            a
        });
        // nextest may show what libtest said in each of its processes: then that was counted already.
        let mut count = nextest.or(libtest)?;
        let skips = said.matches("SKIPPED: ").count();
        let skips = u32::try_from(skips).unwrap_or(u32::MAX).min(count.passed);
        count.passed -= skips;
        count.skipped += skips;
        Some(count)
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// `Summary [ 2.6s] 30 tests run: 28 passed (1 slow), 1 failed, 1 timed out, 4 skipped`
fn nextest_summary(line: &str) -> Option<Count> {
    let (_, parts) = line.trim().strip_prefix("Summary [")?.split_once("run: ")?;
    Some(sum(parts.split(", ")))
}

/// `test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn libtest_summary(line: &str) -> Option<Count> {
    let (_, parts) = line
        .trim()
        .strip_prefix("test result: ")?
        .split_once(". ")?;
    Some(sum(parts.split("; ")))
}

fn sum<'a>(parts: impl Iterator<Item = &'a str>) -> Count {
    let mut count = Count::default();
    for part in parts {
        let mut words = part.split_whitespace();
        let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        match words.next() {
            Some("passed") => count.passed += number,
            Some("failed" | "timed" | "exec") => count.failed += number,
            Some("skipped" | "ignored") => count.skipped += number,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests;
