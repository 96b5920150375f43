//! Pages and their tokens.

use super::*;

fn names(count: usize, octets: usize) -> Vec<String> {
    (0..count).map(|i| format!("{i:0octets$}")).collect()
}

fn owner(name: String) -> proto::v1::Owner {
    proto::v1::Owner {
        name,
        ..proto::v1::Owner::default()
    }
}

#[test]
fn a_page_has_as_many_rows_as_wanted_and_a_thousand_at_most() {
    assert_eq!(size(0), 1000);
    assert_eq!(size(7), 7);
    assert_eq!(size(1_000_000), 1000);
}

#[test]
fn rows_that_fit_are_one_page_and_its_token_is_the_cores() {
    let (page, token) = fill(names(3, 5), Some("next".into()), owner, |owner| &owner.name);
    assert_eq!((page.len(), token.as_str()), (3, "next"));
    let (page, token) = fill(names(0, 5), None, owner, |owner| &owner.name);
    assert_eq!((page.len(), token.as_str()), (0, ""));
}

#[test]
fn a_page_that_grows_too_large_ends_early_and_the_next_begins_behind_it() {
    let (page, token) = fill(names(900, 10_000), None, owner, |owner| &owner.name);
    assert_eq!(page.len(), 210);
    assert_eq!(token, page[209].name);
}

#[test]
fn a_row_that_is_too_large_for_a_page_comes_all_the_same() {
    let (page, token) = fill(names(1, 60_000), None, owner, |owner| &owner.name);
    assert_eq!((page.len(), token.as_str()), (1, ""));
}
