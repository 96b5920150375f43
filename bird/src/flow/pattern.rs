//! Patterns of names and of AS paths.

use super::test::Outcome::{self, Known, Lost};
use super::test::{SPELLED_MAX, span};
use super::value::MaskPart;

/// Whether a name fits a pattern with `*` and `?`.
#[must_use]
pub fn fits_pattern(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    // Which beginnings of the name the beginning of the pattern fits.
    let mut fits = vec![false; name.len() + 1];
    if let Some(first) = fits.first_mut() {
        *first = true;
    }
    for c in pattern {
        let mut next = vec![false; name.len() + 1];
        let mut any = false;
        for (at, slot) in next.iter_mut().enumerate() {
            let here = fits.get(at).copied().unwrap_or(false);
            let before = at.checked_sub(1);
            any |= here;
            *slot = match c {
                '*' => any,
                c => before.is_some_and(|before| {
                    let same = c == '?' || name.get(before) == Some(&c);
                    same && fits.get(before).copied().unwrap_or(false)
                }),
            };
        }
        fits = next;
    }
    fits.last().copied().unwrap_or(false)
}

/// A path mask as a condition: a key of its own where there is one, else an expression.
pub(super) fn path_fits(mask: &[MaskPart]) -> Outcome {
    let one = |first: &u32, last: &u32| vec![span(&(*first, *last))];
    match mask {
        [MaskPart::Any] => Known(true),
        [] => Outcome::list("as-path", vec!["^$".to_owned()]),
        [MaskPart::Any, MaskPart::From(first, last), MaskPart::Any] => {
            Outcome::list("as-path-contains", one(first, last))
        }
        [MaskPart::From(first, last), MaskPart::Any] => {
            Outcome::list("neighbor-as", one(first, last))
        }
        [MaskPart::Any, MaskPart::From(first, last)] => {
            Outcome::list("origin-as", one(first, last))
        }
        [MaskPart::Any, MaskPart::Of(ranges), MaskPart::Any] => {
            Outcome::list("as-path-contains", ranges.iter().map(span).collect())
        }
        [MaskPart::Of(ranges), MaskPart::Any] => {
            Outcome::list("neighbor-as", ranges.iter().map(span).collect())
        }
        [MaskPart::Any, MaskPart::Of(ranges)] => {
            Outcome::list("origin-as", ranges.iter().map(span).collect())
        }
        [_, ..] => expression(mask).map_or_else(Lost, |text| Outcome::list("as-path", vec![text])),
    }
}

/// A path mask as a regular expression over the path's text.
fn expression(mask: &[MaskPart]) -> Result<String, String> {
    let mut text = String::from("^");
    // What stands before the next AS: nothing yet, one space, or anything that ends with a space.
    let mut before = "";
    for part in mask {
        let item = match part {
            MaskPart::Any => {
                before = if text == "^" || before == "(.* )?" {
                    "(.* )?"
                } else {
                    " (.* )?"
                };
                continue;
            }
            MaskPart::Single => "([0-9]+|\\{[0-9,]+\\})".to_owned(),
            MaskPart::From(first, last) if first == last => first.to_string(),
            MaskPart::From(first, last) => alternatives(&[(*first, *last)])?,
            MaskPart::Of(ranges) => alternatives(ranges)?,
        };
        text.push_str(before);
        text.push_str(&item);
        before = " ";
    }
    text.push_str(match before {
        " " | "" => "$",
        // Whatever follows: an end, or a space and more.
        " (.* )?" => "( .*)?$",
        _ => ".*$",
    });
    Ok(text)
}

fn alternatives(ranges: &[(u32, u32)]) -> Result<String, String> {
    let mut all = Vec::new();
    for (first, last) in ranges {
        let count = u64::from(last.saturating_sub(*first)).saturating_add(1);
        if count.saturating_add(all.len() as u64) > SPELLED_MAX {
            return Err(format!(
                "a path mask with more than {SPELLED_MAX} AS numbers at one place"
            ));
        }
        all.extend((*first..=*last).map(|n| n.to_string()));
    }
    Ok(format!("({})", all.join("|")))
}
