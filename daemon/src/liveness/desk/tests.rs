//! What is bounded.

use super::*;

#[test]
fn questions_are_bounded() {
    let mut desk = Desk {
        running: true,
        ..Desk::default()
    };
    let asked: Vec<_> = (0..QUESTIONS_MAX + 9)
        .map(|_| {
            let (ask, answer) = oneshot::channel();
            desk.ask_links(ask);
            answer
        })
        .collect();
    assert_eq!(desk.take().links_asked.len(), QUESTIONS_MAX);
    drop(asked);
}

/// Who asks before there is a thread hears at once that there is nothing.
#[test]
fn nobody_waits_for_a_thread_that_is_not_there() {
    let mut desk = Desk::default();
    let (ask, mut answer) = oneshot::channel();
    desk.ask_sessions(ask);
    assert!(answer.try_recv().is_err());
    assert!(desk.take().sessions_asked.is_empty());
}
