//! What a neighbor remembers of its session.

use super::*;

#[test]
fn a_session_that_fails_has_failed_even_if_it_comes_back() {
    let mut session = Session::default();
    for (state, failed) in [
        (State::Down, false),
        (State::Init, false),
        (State::Up, false),
        (State::Down, true),
        (State::Up, true),
    ] {
        session.changed(state);
        assert_eq!(session.failed, failed, "{state:?}");
    }
}

#[test]
fn only_what_is_missed_while_it_is_up_is_a_gap() {
    let mut session = Session::default();
    let start = Instant::now();
    let ms = |ms| start + Duration::from_millis(ms);
    session.heard(ms(0));
    session.heard(ms(1_000));
    assert_eq!(session.longest, Duration::ZERO, "it was not up");
    session.changed(State::Up);
    session.heard(ms(1_040));
    session.heard(ms(1_130));
    session.heard(ms(1_180));
    assert_eq!(session.longest, Duration::from_millis(90));
}
