//! Pages of lists: bounded in rows and in octets.

use prost::Message;

/// Most rows of a page.
pub(crate) const ROWS_MAX: usize = 1000;
/// A page ends behind the row that takes it over so many octets: half of what clients take by default.
const OCTETS_MAX: usize = 2 << 20;

/// How many rows a client wants: zero is as many as there may be.
pub(crate) fn size(wanted: u32) -> usize {
    match usize::try_from(wanted) {
        Ok(0) | Err(_) => ROWS_MAX,
        Ok(wanted) => wanted.min(ROWS_MAX),
    }
}

/// As many `rows` as fit in octets, and the token of the next page: `next`, or the last row's `key` if some did not.
pub(crate) fn fill<V, R: Message>(
    rows: Vec<V>,
    next: Option<String>,
    convert: impl Fn(V) -> R,
    key: impl Fn(&R) -> &str,
) -> (Vec<R>, String) {
    let all = rows.len();
    let mut octets = 0;
    let mut page = Vec::with_capacity(all);
    for row in rows {
        let row = convert(row);
        octets += row.encoded_len();
        page.push(row);
        if octets > OCTETS_MAX {
            break;
        }
    }
    match page.last() {
        Some(last) if page.len() < all => {
            let token = key(last).to_owned();
            (page, token)
        }
        Some(_) | None => (page, next.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
