//! Graceful shutdown of the whole router (RFC 8326).

use bgp_core::attributes::Community;

use super::*;
use crate::drain::{Drain, GRACE_MAX};
use crate::notice::Notice;

const OURS: &str = "198.51.100.0/24";
const THEIRS: &str = "203.0.113.0/24";
const GRACE: Duration = Duration::from_secs(60);

/// Speaker 0 is between speakers 1 and 2: it has a route of its own, and passes on one of speaker 2.
fn between() -> Net {
    let mut middle = config(0, &[1, 2]);
    middle.originate = vec![originate(OURS)];
    let mut far = config(2, &[0]);
    far.originate = vec![originate(THEIRS)];
    let mut net = Net::new(vec![middle, config(1, &[0]), far]);
    net.run(10);
    assert_eq!(net.routes(1), [OURS, THEIRS]);
    net
}

impl Net {
    fn drain(&mut self, grace: Duration) {
        self.with(0, |s, now, out| s.drain(now, grace, out))
            .unwrap();
        self.settle();
    }

    fn stages(&self) -> Vec<Drain> {
        let stage = |(_, effect): &(usize, Effect)| match effect {
            Effect::Notice(Notice::Drain { stage, .. }) => Some(*stage),
            _ => None,
        };
        self.done.iter().filter_map(stage).collect()
    }

    /// Whether all that speaker 1 knows is marked, and preferred to nothing.
    fn all_is_marked(&mut self) -> bool {
        let page = self.speakers[1].routes(&RouteQuery::default(), None, 100);
        let rows = page.unwrap().routes;
        let marked = |attributes: &Attributes| {
            let mark = Community::GRACEFUL_SHUTDOWN;
            attributes.communities.contains(&mark) && attributes.local_pref == Some(0)
        };
        rows.iter().all(|row| marked(&row.paths[0].attributes))
    }
}

/// RFC 8326 §4.2: first all routes say that they are about to go, then they go; the sessions stay, and so do the routes
/// that we heard.
#[test]
fn routes_are_marked_for_the_time_of_grace_and_then_withdrawn() {
    let mut net = between();
    assert!(!net.all_is_marked());
    net.drain(GRACE);
    assert!(net.all_is_marked());
    let status = net.speakers[0].status().drain;
    assert_eq!((status.stage, status.peers_pending), (Drain::Announcing, 0));
    assert_eq!(status.withdraws, Some(net.now + GRACE));
    net.run(59);
    assert_eq!(net.routes(1), [OURS, THEIRS]);
    net.run(1);
    assert_eq!(net.routes(1), Vec::<String>::new());
    assert_eq!(net.routes(0), [OURS, THEIRS]);
    net.assert_up(0, 1);
    assert_eq!(net.stages(), [Drain::Announcing, Drain::Withdrawn]);
    assert_eq!(net.speakers[0].status().drain.stage, Drain::Withdrawn);
}

#[test]
fn a_session_that_comes_up_while_we_are_leaving_is_told_so_too() {
    let mut net = between();
    let reset = crate::command::PeerCommand::Reset(None);
    net.drain(GRACE);
    net.with(0, |s, now, out| {
        s.peer_command(now, &name(1), reset.clone(), out)
    })
    .unwrap();
    net.run(20);
    net.assert_up(0, 1);
    assert_eq!(net.routes(1), [OURS, THEIRS]);
    assert!(net.all_is_marked());
    net.run(60);
    net.with(0, |s, now, out| s.peer_command(now, &name(1), reset, out))
        .unwrap();
    net.run(20);
    net.assert_up(0, 1);
    assert_eq!(net.routes(1), Vec::<String>::new());
}

#[test]
fn a_drain_is_called_off_at_any_stage_and_then_nothing_is_marked() {
    for after in [0, 30, 90] {
        let mut net = between();
        net.drain(GRACE);
        net.run(after);
        let (was, _) = net.with(0, Speaker::undrain).unwrap();
        net.settle();
        assert!(was);
        assert_eq!(net.routes(1), [OURS, THEIRS]);
        assert!(!net.all_is_marked());
        net.run(90);
        assert_eq!(net.routes(1), [OURS, THEIRS]);
        let (was, view) = net.with(0, Speaker::undrain).unwrap();
        assert_eq!((was, view.stage), (false, Drain::None));
    }
}

#[test]
fn the_order_given_again_counts_the_time_anew_and_zero_withdraws_at_once() {
    let mut net = between();
    net.drain(GRACE);
    net.run(30);
    net.drain(GRACE);
    net.run(59);
    assert_eq!(net.routes(1), [OURS, THEIRS]);
    net.drain(Duration::ZERO);
    assert_eq!(net.routes(1), Vec::<String>::new());
    net.drain(GRACE);
    assert_eq!(net.speakers[0].status().drain.stage, Drain::Withdrawn);
    assert_eq!(net.stages(), [Drain::Announcing, Drain::Withdrawn]);
    let long = GRACE_MAX + Duration::from_secs(1);
    let refused = net.with(0, |s, now, out| s.drain(now, long, out));
    assert!(matches!(refused, Err(Refusal::Invalid { field, .. }) if field == "grace"));
}
