//! Long-lived graceful restart (RFC 9494).

use bgp_core::Capability;
use bgp_core::attributes::Community;

use super::*;
use crate::view::Source;

/// Long-Lived Stale Time.
const LONG: u64 = 3600;

fn long(host: usize, peers: &[usize], routes: &[&str]) -> Config {
    let mut config = graceful(host, peers, routes);
    for peer in &mut config.peers {
        let options = peer.options.graceful_restart.as_mut().unwrap();
        options.long_lived = Some(Duration::from_secs(LONG));
    }
    config
}

/// Speaker 0 helps speaker 1; speaker 2 has long-lived graceful restart too, speaker 3 has none.
fn four(restarting: Config) -> Net {
    let ours = long(0, &[1, 2, 3], &[]);
    let others = [long(2, &[0], &[]), config(3, &[0])];
    let mut net = Net::new([vec![ours, restarting], others.to_vec()].concat());
    net.run(90);
    let fresh = [(KEPT, false), (GONE, false)];
    for host in [0, 2, 3] {
        assert_eq!(marked(&mut net, host), fresh, "{host}");
    }
    net
}

/// The best routes, and whether they carry LLGR_STALE.
fn marked(net: &mut Net, host: usize) -> Vec<(&'static str, bool)> {
    let page = net.speakers[host].routes(&RouteQuery::default(), None, 100);
    let rows = page.unwrap().routes.into_iter();
    let known = |prefix: String| [KEPT, GONE].into_iter().find(|known| *known == prefix);
    rows.map(|row| {
        let communities = &row.paths[0].attributes.communities;
        let marked = communities.contains(&Community::LLGR_STALE);
        (known(row.prefix.to_string()).unwrap(), marked)
    })
    .collect()
}

/// RFC 9494 §4.2: after the Restart Time routes are kept, with LLGR_STALE, for the Long-Lived Stale Time. §4.3: who has not
/// the capability is not told.
#[test]
fn after_the_restart_time_routes_are_kept_for_long_and_marked() {
    let mut net = four(long(1, &[0], &[KEPT, GONE]));
    net.crash(1, false);
    net.run(TIME - 1);
    assert_eq!(marked(&mut net, 0), [(KEPT, false), (GONE, false)]);
    assert_eq!(marked(&mut net, 3).len(), 2);
    net.run(2);
    for host in [0, 2] {
        let all = [(KEPT, true), (GONE, true)];
        assert_eq!(marked(&mut net, host), all, "{host}");
    }
    assert_eq!(states(&mut net, 0), [(KEPT, true), (GONE, true)]);
    assert_eq!(marked(&mut net, 3), []);
    assert!(net.peer(0, 1).held.unwrap().long_lived);
    net.run(LONG - 2);
    assert_eq!(marked(&mut net, 0).len(), 2);
    net.run(2);
    assert_eq!(marked(&mut net, 0), []);
    assert_eq!(marked(&mut net, 2), []);
    assert_eq!(net.peer(0, 1).prefixes.ipv4.received, 0);
}

/// RFC 9494 §4.2: what carries NO_LLGR is not kept for long.
#[test]
fn what_carries_no_llgr_goes_after_the_restart_time() {
    let mut restarting = long(1, &[0], &[KEPT, GONE]);
    let communities = &mut restarting.originate[1].attributes.communities;
    communities.push(Community::NO_LLGR);
    let mut net = four(restarting);
    net.crash(1, false);
    net.run(TIME - 1);
    assert_eq!(marked(&mut net, 0).len(), 2);
    net.run(2);
    assert_eq!(marked(&mut net, 0), [(KEPT, true)]);
    assert_eq!(marked(&mut net, 2), [(KEPT, true)]);
}

/// RFC 9494 §4.3: anything else is preferred to what is kept for long.
#[test]
fn what_is_kept_for_long_is_the_least_preferred() {
    let ours = long(0, &[1, 2], &[]);
    let others = [long(1, &[0], &[KEPT]), long(2, &[0], &[KEPT])];
    let mut net = Net::new([vec![ours], others.to_vec()].concat());
    net.run(90);
    let best = |net: &mut Net| {
        let page = net.speakers[0].routes(&RouteQuery::default(), None, 100);
        page.unwrap().routes[0].paths[0].source.clone()
    };
    assert_eq!(best(&mut net), Source::Peer(name(1)));
    net.crash(1, false);
    net.run(TIME - 1);
    assert_eq!(best(&mut net), Source::Peer(name(1)));
    net.run(2);
    assert_eq!(best(&mut net), Source::Peer(name(2)));
}

/// RFC 9494 §4.2: who is back within the Long-Lived Stale Time tells its routes again, and they are as any other.
#[test]
fn a_peer_that_is_back_after_its_restart_time_tells_its_routes_anew() {
    let mut net = four(long(1, &[0], &[KEPT, GONE]));
    net.crash(1, false);
    net.run(TIME + 60);
    net.boot(1, long(1, &[0], &[KEPT]));
    net.run(20);
    net.assert_up(0, 1);
    for host in [0, 2, 3] {
        assert_eq!(marked(&mut net, host), [(KEPT, false)], "{host}");
    }
    assert_eq!(states(&mut net, 0), [(KEPT, false)]);
    assert_eq!(net.peer(0, 1).held, None);
}

/// RFC 9494 §4.2: without the capability, or without its F bit, stale routes go as the session comes up.
#[test]
fn without_the_f_bit_what_was_kept_for_long_goes() {
    // It awaits a third one, and so tells nothing yet, be it End-of-RIB.
    let with_f = long(1, &[0, 9], &[KEPT]);
    let mut plain = with_f.clone();
    for peer in &mut plain.peers {
        let options = peer.options.graceful_restart.as_mut().unwrap();
        options.long_lived = None;
    }
    let cases = [
        (with_f.clone(), true, 2),
        (with_f, false, 0),
        (plain, true, 0),
    ];
    for (config, forwarding, expected) in cases {
        let mut net = four(long(1, &[0], &[KEPT, GONE]));
        net.crash(1, false);
        net.run(TIME + 60);
        net.speakers[1] = Speaker::new(config, net.now, 8).unwrap();
        net.speakers[1].last_conn = 1000;
        net.with(1, Speaker::start);
        if !forwarding {
            net.speakers[1].restart.forwarding = Default::default();
            net.speakers[1].tell_restart();
        }
        net.run(8);
        net.assert_up(0, 1);
        assert_eq!(marked(&mut net, 0).len(), expected);
    }
}

/// RFC 9494 §4.2: a further restart neither ends nor prolongs what is kept for long.
#[test]
fn a_further_restart_leaves_what_is_kept_for_long_the_rest_of_its_time() {
    let mut net = four(long(1, &[0], &[KEPT, GONE]));
    net.crash(1, false);
    net.run(TIME + 60);
    // It awaits a third one, and so tells nothing yet.
    net.boot(1, long(1, &[0, 9], &[KEPT]));
    net.run(8);
    net.assert_up(0, 1);
    net.crash(1, false);
    let all = [(KEPT, true), (GONE, true)];
    for host in [0, 2] {
        assert_eq!(marked(&mut net, host), all, "{host}");
    }
    assert!(net.peer(0, 1).held.unwrap().long_lived);
    net.run(LONG - 60 - 8 - 2);
    assert_eq!(marked(&mut net, 0), all);
    net.run(4);
    assert_eq!(marked(&mut net, 0), []);
    assert_eq!(net.peer(0, 1).held, None);
}

/// RFC 9494 §4.2: where the time is over while the peer tells its routes again, what it has not told goes.
#[test]
fn the_time_of_what_is_kept_for_long_goes_on_while_its_peer_is_back() {
    let mut net = four(long(1, &[0], &[KEPT, GONE]));
    net.crash(1, false);
    net.run(TIME + LONG - 6);
    // It awaits a third one, and so tells nothing yet.
    net.boot(1, long(1, &[0, 9], &[KEPT]));
    net.run(4);
    net.assert_up(0, 1);
    assert_eq!(marked(&mut net, 0), [(KEPT, true), (GONE, true)]);
    net.run(4);
    net.assert_up(0, 1);
    assert_eq!(marked(&mut net, 0), []);
    net.run(60);
    net.assert_up(0, 1);
    assert_eq!(marked(&mut net, 0), [(KEPT, false)]);
    assert_eq!(net.peer(0, 1).held, None);
}

/// RFC 9494 §4.2: nor does a further restart within the Restart Time end it; and it does not prolong that.
#[test]
fn a_further_restart_within_the_restart_time_does_not_prolong_it() {
    let mut net = four(long(1, &[0], &[KEPT, GONE]));
    net.crash(1, false);
    net.run(60);
    // It awaits a third one, and so tells nothing yet.
    net.boot(1, long(1, &[0, 9], &[KEPT]));
    net.run(8);
    net.assert_up(0, 1);
    net.crash(1, false);
    assert_eq!(states(&mut net, 0), [(KEPT, true), (GONE, true)]);
    net.run(TIME - 60 - 8 - 2);
    assert_eq!(marked(&mut net, 0), [(KEPT, false), (GONE, false)]);
    net.run(4);
    assert_eq!(marked(&mut net, 0), [(KEPT, true), (GONE, true)]);
    net.run(LONG - 4);
    assert_eq!(marked(&mut net, 0).len(), 2);
    net.run(4);
    assert_eq!(marked(&mut net, 0), []);
}

/// Speaker 1 starts with this, and what it offers in its OPENs is changed.
fn boot_with(net: &mut Net, config: Config, change: impl Fn(&mut Vec<Capability>)) {
    net.speakers[1] = Speaker::new(config, net.now, 8).unwrap();
    net.speakers[1].last_conn = 1000;
    net.with(1, Speaker::start);
    let restarting = &mut net.speakers[1];
    for id in restarting.peers.ids() {
        let peer = restarting.peers.get_mut(id).unwrap();
        let mut config = peer.fsm_config(&restarting.config.router, restarting.restart);
        change(&mut config.capabilities);
        peer.fsm.set_config(config);
    }
    net.run(30);
    net.assert_up(0, 1);
}

/// RFC 9494 §4.2: Restart Time of a family that only the long-lived capability lists is zero.
#[test]
fn a_family_without_graceful_restart_is_kept_for_long_at_once() {
    let mut net = four(long(1, &[0], &[KEPT, GONE]));
    net.crash(1, false);
    net.run(10);
    boot_with(&mut net, long(1, &[0], &[KEPT, GONE]), |capabilities| {
        for capability in capabilities {
            if let Capability::GracefulRestart(graceful) = capability {
                graceful.families.clear();
            }
        }
    });
    assert_eq!(marked(&mut net, 0), [(KEPT, false), (GONE, false)]);
    net.crash(1, false);
    assert_eq!(marked(&mut net, 0), [(KEPT, true), (GONE, true)]);
    assert_eq!(marked(&mut net, 3), []);
    net.run(LONG - 2);
    assert_eq!(marked(&mut net, 0).len(), 2);
    net.run(4);
    assert_eq!(marked(&mut net, 0), []);
}

/// RFC 9494 §4.5: long-lived graceful restart without graceful restart is none.
#[test]
fn without_graceful_restart_the_capability_counts_for_nothing() {
    let others = [long(0, &[1, 2], &[]), long(1, &[0], &[])];
    let mut net = Net::new([others.to_vec(), vec![long(2, &[0], &[KEPT])]].concat());
    net.run(90);
    let plain = |capabilities: &mut Vec<Capability>| {
        capabilities.retain(|c| !matches!(c, Capability::GracefulRestart(_)));
    };
    net.crash(1, false);
    boot_with(&mut net, long(1, &[0], &[GONE]), plain);
    assert_eq!(marked(&mut net, 1).len(), 2);
    // It is not told what is stale for long, and what it told does not stay.
    net.crash(2, false);
    net.run(TIME + 1);
    assert_eq!(marked(&mut net, 0), [(KEPT, true), (GONE, false)]);
    assert_eq!(marked(&mut net, 1), [(GONE, false)]);
    net.crash(1, false);
    assert_eq!(marked(&mut net, 0), [(KEPT, true)]);
}

/// RFC 9494 §4.2: where the time was over while the peer told its routes again, and the session is lost before it told all,
/// what it had told by then goes at once.
#[test]
fn what_was_told_after_that_time_was_over_goes_with_the_session() {
    let mut net = four(long(1, &[0], &[KEPT, GONE]));
    net.crash(1, false);
    net.run(TIME + LONG - 6);
    // It awaits a third one, and so tells nothing by itself.
    net.boot(1, long(1, &[0, 9], &[]));
    net.run(4);
    net.assert_up(0, 1);
    let ends = net.wires.iter().find(|(_, (other, _))| *other == 1);
    let (host, conn) = *ends.unwrap().0;
    net.with(host, |s, now, out| {
        let data = announcement(1);
        s.handle(now, Event::Received { conn, data }, out)
    });
    assert_eq!(states(&mut net, 0), [(KEPT, false), (GONE, true)]);
    net.run(4);
    net.assert_up(0, 1);
    assert_eq!(states(&mut net, 0), [(KEPT, false)]);
    net.crash(1, false);
    assert_eq!(states(&mut net, 0), []);
}

/// An UPDATE in which a speaker announces [`KEPT`].
fn announcement(host: usize) -> Bytes {
    let IpAddr::V4(next_hop) = address(host) else {
        unreachable!()
    };
    let mut out = vec![0xff; 16];
    let body = [
        &[0, 0, 0, 20][..],
        &[0x40, 1, 1, 0],
        &[0x40, 2, 6, 2, 1],
        &asn(host).to_be_bytes(),
        &[0x40, 3, 4],
        &next_hop.octets(),
        &[24, 198, 51, 100],
    ]
    .concat();
    let length = u16::try_from(19 + body.len()).unwrap();
    out.extend(length.to_be_bytes());
    out.push(2);
    out.extend(body);
    out.into()
}
