//! What bad peers say.

use super::super::wire::message;
use super::*;

#[test]
fn an_update_that_never_ends_is_none_yet() {
    let begun = unfinished();
    assert_eq!(begun.len(), header::LEN + BEGUN);
    assert_eq!(message(&begun), None);
    let whole = [begun, vec![0; usize::from(PROMISED)]].concat();
    assert!(matches!(message(&whole), Some((2, _, _))));
}
