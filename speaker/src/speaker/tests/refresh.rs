//! What a peer says of a refresh (RFC 7313), and what comes of it.

use bgp_core::refresh::Subtype;
use bgp_core::{Family, RouteRefresh};

use super::*;
use crate::command::PeerCommand;
use crate::config::GracefulRestart;

const TOLD: &str = "198.51.100.0/24";

/// Speaker 1 tells speaker 0 a route; with `graceful`, both restart gracefully.
fn pair(graceful: bool) -> Net {
    let mut configs = [config(0, &[1]), config(1, &[0])];
    configs[1].originate.push(originate(TOLD));
    for config in &mut configs {
        config.peers[0].options.graceful_restart = graceful.then_some(GracefulRestart {
            restart_time: Duration::from_secs(120),
            long_lived: None,
        });
    }
    Net::new(configs.to_vec())
}

impl Net {
    /// Speaker 1 says this of IPv4.
    fn says(&mut self, subtype: Subtype) {
        let peer = self.speakers[0].peers.iter().next().unwrap();
        let conn = peer.session_conn().unwrap().id;
        let family = Family::Ipv4Unicast.into();
        let data = RouteRefresh { family, subtype }.encode();
        self.with(0, |s, now, out| {
            s.handle(now, Event::Received { conn, data }, out);
        });
        self.settle();
    }

    /// Whether what speaker 1 told is stale; `None`: it is gone.
    fn is_stale(&mut self) -> Option<bool> {
        let page = self.speakers[0].routes(&RouteQuery::default(), None, 9);
        let rows = page.unwrap().routes;
        rows.first().map(|row| row.paths[0].stale)
    }
}

/// RFC 7313 §4: "Once the upper bound is reached, the implementation MAY remove any routes from the peer that are still
/// marked as stale".
#[test]
fn a_refresh_without_an_end_ends_after_a_while() {
    let mut net = pair(false);
    net.run(10);
    net.says(Subtype::Begin);
    net.run(359);
    assert_eq!(net.is_stale(), Some(true));
    net.run(2);
    assert_eq!(net.is_stale(), None);
    net.assert_up(0, 1);
}

#[test]
fn a_refresh_ends_with_its_end_and_no_sooner() {
    let mut net = pair(false);
    net.run(10);
    // §4: an end "without a prior receipt of an associated BoRR" may be ignored; §5: unknown ones must be.
    net.says(Subtype::End);
    net.says(Subtype::Unknown(9));
    assert_eq!(net.is_stale(), Some(false));
    net.says(Subtype::Begin);
    net.says(Subtype::Unknown(9));
    assert_eq!(net.is_stale(), Some(true));
    net.says(Subtype::End);
    assert_eq!(net.is_stale(), None);
}

/// A session that is lost forgets its refresh: what the next one tells does not go when the time of the first is over.
#[test]
fn a_refresh_is_of_its_session() {
    let mut net = pair(false);
    net.run(10);
    net.says(Subtype::Begin);
    net.run(300);
    let reset = PeerCommand::Reset(None);
    net.with(0, |s, now, out| {
        s.peer_command(now, &name(1), reset, out).unwrap();
    });
    net.run(300);
    net.assert_up(0, 1);
    assert_eq!(net.is_stale(), Some(false));
}

/// RFC 7313 §4: who has heard of graceful restart "MUST ignore any BoRRs ... before the speaker receives the EoR".
#[test]
fn before_end_of_rib_no_refresh_begins_with_graceful_restart() {
    let mut net = pair(true);
    net.run(10);
    let unheard = |net: &mut Net, heard: bool| {
        for id in net.speakers[0].peers.ids() {
            let peer = net.speakers[0].peers.get_mut(id).unwrap();
            peer.heard_all.ipv4 = heard;
        }
    };
    unheard(&mut net, false);
    net.says(Subtype::Begin);
    assert_eq!(net.is_stale(), Some(false));
    net.says(Subtype::End);
    assert_eq!(net.is_stale(), Some(false));
    unheard(&mut net, true);
    net.says(Subtype::Begin);
    assert_eq!(net.is_stale(), Some(true));
}
