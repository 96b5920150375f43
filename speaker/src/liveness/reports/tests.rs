//! What joins, what takes the place of what, and what is bounded.

use bfd::{Hops, Reason, State};
use path_score::Cost;
use path_score::judge::{Notice, Why};
use path_score::link::Way;

use super::*;

fn path() -> Path {
    Path {
        remote: [10, 0, 0, 2].into(),
        local: None,
        interface: None,
        hops: Hops::Single,
    }
}

fn change(link: u32, before: u32, cost: u32) -> Change {
    Change {
        link: LinkId(link),
        direction: Direction::Forward,
        before: Cost::from_micros(before),
        loss: 0.0,
        cost: Cost::from_micros(cost),
        why: Why::Alarm,
        way: Way::default(),
        rtt: None,
    }
}

fn links(reports: &mut Reports) -> Vec<LinkReport> {
    let link = |event| {
        let Event::Link(report) = event else {
            panic!("{event:?}");
        };
        report
    };
    reports.take().into_iter().map(link).collect()
}

#[test]
fn a_failure_is_told_whatever_came_after_it() {
    let mut reports = Reports::default();
    let expired = Reason::DetectionTimeExpired;
    for (from, to, reason) in [
        (State::Up, State::Down, expired),
        (State::Down, State::Init, Reason::Heard),
        (State::Init, State::Up, Reason::Heard),
    ] {
        reports.session(path(), bfd::Change { from, to, reason });
    }
    let told = reports.take();
    let [Event::Bfd(told)] = &told[..] else {
        panic!("one report a path: {told:?}");
    };
    let (state, failed) = (State::Up, Some(expired));
    let expected = BfdReport {
        path: path(),
        state,
        failed,
    };
    assert_eq!(*told, expected);
    assert!(reports.take().is_empty());
}

/// RFC 5882 §4.3: who was never up has not failed, and who goes down on purpose has not either.
#[test]
fn only_what_was_up_fails() {
    for (from, reason) in [
        (State::Init, Reason::DetectionTimeExpired),
        (State::Up, Reason::NeighborAdminDown),
    ] {
        let to = State::Down;
        let mut reports = Reports::default();
        reports.session(path(), bfd::Change { from, to, reason });
        let told = reports.take();
        let unharmed = matches!(&told[..], [Event::Bfd(report)] if report.failed.is_none());
        assert!(unharmed, "{told:?}");
    }
}

#[test]
fn two_changes_of_a_cost_are_one() {
    let mut reports = Reports::default();
    reports.cost(change(1, 20, 300));
    reports.cost(change(1, 300, 400));
    reports.cost(change(2, 20, 30));
    let told = links(&mut reports);
    let costs = [(1, 20, 400), (2, 20, 30)].map(|(l, b, c)| LinkReport::Cost(change(l, b, c)));
    assert_eq!(told, costs);
}

/// However many links there are, none is left out, as a notice may be.
#[test]
fn what_a_link_is_measured_by_last_is_told() {
    let mut reports = Reports::default();
    let many = u32::try_from(NOTICES_MAX).unwrap() * 2;
    for method in [Method::Icmp, Method::Stamp] {
        (1..=many).for_each(|link| reports.measured(LinkId(link), method));
    }
    reports.measured(LinkId(7), Method::Icmp);
    let told = links(&mut reports);
    assert_eq!(told.len(), NOTICES_MAX * 2);
    let is_echo = |report: &&LinkReport| matches!(report, LinkReport::Measured(_, Method::Icmp));
    let by_echo: Vec<_> = told.iter().filter(is_echo).collect();
    assert_eq!(by_echo, [&LinkReport::Measured(LinkId(7), Method::Icmp)]);
}

#[test]
fn notices_are_bounded() {
    let mut reports = Reports::default();
    for _ in 0..NOTICES_MAX + 9 {
        reports.notice(LinkReport::Notice(Notice::Thawed));
    }
    assert_eq!(reports.take().len(), NOTICES_MAX);
}
