//! What joins, what takes the place of what, and what is bounded.

use bfd::{Hops, Reason, State};
use path_score::Cost;
use path_score::judge::Why;
use path_score::link::Way;

use path_score::judge::Notice;

use super::*;

fn path(last: u8) -> Path {
    Path {
        remote: [10, 0, 0, last].into(),
        local: None,
        interface: None,
        hops: Hops::Single,
    }
}

fn report(state: State, failed: Option<Reason>) -> BfdReport {
    BfdReport {
        path: path(2),
        state,
        failed,
    }
}

fn change(link: u32, before: u32, cost: u32) -> Change {
    Change {
        link: LinkId(link),
        direction: Direction::Forward,
        before: Cost::from_micros(before),
        cost: Cost::from_micros(cost),
        why: Why::Alarm,
        way: Way::default(),
        rtt: None,
    }
}

#[test]
fn a_failure_is_told_whatever_came_after_it() {
    let mut desk = Desk::default();
    desk.report(report(State::Down, Some(Reason::DetectionTimeExpired)));
    desk.report(report(State::Init, None));
    desk.report(report(State::Up, None));
    let news = desk.collect();
    let [News::Bfd(told)] = &news[..] else {
        panic!("one report a path");
    };
    assert_eq!(*told, report(State::Up, Some(Reason::DetectionTimeExpired)));
    assert!(desk.collect().is_empty());
}

#[test]
fn two_changes_of_a_cost_are_one() {
    let mut desk = Desk::default();
    desk.change(change(1, 20, 300));
    desk.change(change(1, 300, 400));
    desk.change(change(2, 20, 30));
    let told: Vec<_> = desk
        .collect()
        .into_iter()
        .map(|news| match news {
            News::Link(LinkReport::Cost(change)) => {
                (change.link.0, change.before.micros(), change.cost.micros())
            }
            News::Link(
                LinkReport::Notice(_) | LinkReport::Measured(..) | LinkReport::NoEcho(_),
            )
            | News::Bfd(_) => panic!("costs only"),
        })
        .collect();
    assert_eq!(told, [(1, 20, 400), (2, 20, 30)]);
}

/// However many links there are, none is left out, as a notice may be.
#[test]
fn what_a_link_is_measured_by_last_is_told() {
    let mut desk = Desk::default();
    let links = u32::try_from(NOTICES_MAX).unwrap() * 2;
    for method in [Method::Icmp, Method::Stamp] {
        (1..=links).for_each(|link| desk.measured(LinkId(link), method));
    }
    desk.measured(LinkId(7), Method::Icmp);
    let told = desk.collect();
    assert_eq!(told.len(), NOTICES_MAX * 2);
    let by_echo = told.into_iter().filter_map(|news| match news {
        News::Link(LinkReport::Measured(link, Method::Icmp)) => Some(link.0),
        News::Link(_) | News::Bfd(_) => None,
    });
    assert_eq!(by_echo.collect::<Vec<_>>(), [7]);
}

#[test]
fn notices_and_questions_are_bounded() {
    let mut desk = Desk {
        running: true,
        ..Desk::default()
    };
    for _ in 0..NOTICES_MAX + 9 {
        desk.notice(LinkReport::Notice(Notice::Thawed));
    }
    assert_eq!(desk.collect().len(), NOTICES_MAX);
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
