//! Conditions on numbers: ranges, merged and sorted, so that a look-up halves what is left.

/// A set of numbers.
#[derive(Debug)]
pub(super) struct Ranges(Box<[(u64, u64)]>);

impl Ranges {
    /// The numbers of all `ranges`, each from its first to its last.
    pub(super) fn new(mut ranges: Vec<(u64, u64)>) -> Self {
        ranges.sort_unstable();
        ranges.dedup_by(|next, merged| {
            let touches = next.0 <= merged.1.saturating_add(1);
            if touches {
                merged.1 = merged.1.max(next.1);
            }
            touches
        });
        Self(ranges.into())
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= number);
        let (candidates, _) = self.0.split_at(behind);
        candidates.last().is_some_and(|(_, last)| number <= *last)
    }

    /// How many ranges are left after merging.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Reads `100`, `100-200`, `ge 100`, `le 200` or `ge 100 le 200`, with numbers up to `max`.
pub(super) fn parse(text: &str, max: u64) -> Result<(u64, u64), String> {
    let number = |word: &str| word.parse::<u64>().ok().filter(|number| *number <= max);
    let words: Vec<&str> = text.split_whitespace().collect();
    let range = match words.as_slice() {
        [one] => match one.split_once('-') {
            Some((first, last)) => number(first).zip(number(last)),
            None => number(one).map(|number| (number, number)),
        },
        ["ge", first] => number(first).map(|first| (first, max)),
        ["le", last] => number(last).map(|last| (0, last)),
        ["ge", first, "le", last] => number(first).zip(number(last)),
        _ => None,
    };
    range.filter(|(first, last)| first <= last).ok_or_else(|| {
        format!(
            "`{text}` is no condition on a number up to {max}: write it as `1`, `1-9`, `ge 1`, `le 9` or `ge 1 le 9`"
        )
    })
}
