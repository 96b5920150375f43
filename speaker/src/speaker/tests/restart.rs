//! Graceful restart, of a peer and of our own.

mod long_lived;

use bgp_core::Family;

use super::*;
use crate::command::PeerCommand;
use crate::config::GracefulRestart;

const KEPT: &str = "198.51.100.0/24";
const GONE: &str = "203.0.113.0/24";
const TIME: u64 = 120;

fn graceful(host: usize, peers: &[usize], routes: &[&str]) -> Config {
    let mut config = config(host, peers);
    config.originate = routes.iter().map(|route| originate(route)).collect();
    for peer in &mut config.peers {
        peer.options.graceful_restart = Some(GracefulRestart {
            restart_time: Duration::from_secs(TIME),
            long_lived: None,
        });
    }
    config
}

/// Speaker 0 helps; speaker 1 has told it two routes.
fn helped() -> Net {
    let ours = graceful(0, &[1], &[]);
    let mut net = Net::new(vec![ours, graceful(1, &[0], &[KEPT, GONE])]);
    net.run(90);
    net.assert_up(0, 1);
    assert_eq!(states(&mut net, 0), [(KEPT, false), (GONE, false)]);
    net
}

/// The prefixes with a best route, and whether it is stale.
fn states(net: &mut Net, host: usize) -> Vec<(&'static str, bool)> {
    let page = net.speakers[host].routes(&RouteQuery::default(), None, 100);
    let rows = page.unwrap().routes.into_iter();
    let known = |prefix: String| [KEPT, GONE].into_iter().find(|known| *known == prefix);
    rows.map(|row| {
        let path = row.paths.first().unwrap();
        assert!(path.best);
        (known(row.prefix.to_string()).unwrap(), path.stale)
    })
    .collect()
}

impl Net {
    /// kill -9; with `silent`, the others do not even hear that the connections are gone.
    fn crash(&mut self, host: usize, silent: bool) {
        let ours: Vec<_> = self.wires.keys().copied().filter(|w| w.0 == host).collect();
        for wire in ours {
            let Some((other, conn)) = self.wires.remove(&wire) else {
                continue;
            };
            self.wires.remove(&(other, conn));
            if !silent {
                self.arrivals.push_back((other, Event::Closed { conn }));
            }
        }
        self.arrivals.retain(|(who, _)| *who != host);
        // Nobody is there: one without peers refuses all.
        self.speakers[host] = Speaker::new(config(host, &[]), self.now, 7).unwrap();
        self.settle();
    }

    fn boot(&mut self, host: usize, config: Config) {
        self.speakers[host] = Speaker::new(config, self.now, 8).unwrap();
        self.speakers[host].last_conn = 1000;
        self.with(host, Speaker::start);
        self.settle();
    }
}

/// RFC 4724 §4.2: kept and stale while the peer restarts; what it does not tell again goes at its End-of-RIB.
#[test]
fn routes_of_a_lost_session_are_stale_until_the_end_of_rib() {
    let mut net = helped();
    net.crash(1, false);
    assert_eq!(states(&mut net, 0), [(KEPT, true), (GONE, true)]);
    net.run(30);
    assert_eq!(states(&mut net, 0), [(KEPT, true), (GONE, true)]);
    net.boot(1, graceful(1, &[0], &[KEPT]));
    net.run(20);
    net.assert_up(0, 1);
    assert_eq!(states(&mut net, 0), [(KEPT, false)]);
    assert_eq!(net.peer(0, 1).prefixes.ipv4.received, 1);
}

/// RFC 4724 §4.2: a session that is not back within the Restart Time leaves nothing.
#[test]
fn stale_routes_go_when_the_restart_time_is_over() {
    let mut net = helped();
    net.crash(1, false);
    net.run(TIME - 1);
    assert_eq!(states(&mut net, 0), [(KEPT, true), (GONE, true)]);
    net.run(2);
    assert_eq!(states(&mut net, 0), []);
    assert_eq!(net.peer(0, 1).prefixes.ipv4.received, 0);
}

/// RFC 4724 §4.2: a peer that comes back without the capability, or without its F bit, kept nothing.
#[test]
fn without_the_f_bit_stale_routes_go_as_the_session_comes_up() {
    // It awaits a third one, and so tells nothing yet, be it End-of-RIB.
    let with_f = graceful(1, &[0, 2], &[KEPT]);
    let mut plain = with_f.clone();
    plain.peers[0].options.graceful_restart = None;
    let without_f = with_f.clone();
    let both = vec![(KEPT, true), (GONE, true)];
    let cases = [
        (with_f, true, both),
        (without_f, false, vec![]),
        (plain, true, vec![]),
    ];
    for (config, forwarding, expected) in cases {
        let mut net = helped();
        net.crash(1, false);
        assert_eq!(states(&mut net, 0).len(), 2);
        net.speakers[1] = Speaker::new(config, net.now, 8).unwrap();
        net.speakers[1].last_conn = 1000;
        net.with(1, Speaker::start);
        if !forwarding {
            net.speakers[1].restart.forwarding = Default::default();
            net.speakers[1].tell_restart();
        }
        net.run(5);
        net.assert_up(0, 1);
        assert_eq!(states(&mut net, 0), expected);
    }
}

/// RFC 4724 §4.2: what is stale from one restart, and was not told again before the next one, goes.
#[test]
fn what_is_stale_already_is_not_kept_for_another_restart() {
    let mut net = helped();
    net.crash(1, false);
    // It awaits a third one, and so tells nothing before it crashes again.
    net.boot(1, graceful(1, &[0, 2], &[KEPT]));
    net.run(5);
    net.assert_up(0, 1);
    assert_eq!(states(&mut net, 0), [(KEPT, true), (GONE, true)]);
    net.crash(1, false);
    assert_eq!(states(&mut net, 0), []);
}

/// RFC 4724 §3: the F bit is what the kernel says: routes of an earlier life are there, or not.
#[test]
fn the_f_bit_is_set_where_the_kernel_kept_routes() {
    for kept in [true, false] {
        let mut config = graceful(0, &[1], &[]);
        config.fib.install = true;
        let mut net = Net::new(vec![config, graceful(1, &[0], &[])]);
        assert_eq!(
            net.peer(0, 1).state,
            State::Idle,
            "the kernel is asked first"
        );
        let mut facts = dump(address(0));
        let mut ours = facts.iter().find_map(|fact| match fact {
            Fact::Route(route) => Some(route.clone()),
            _ => None,
        });
        if let Some(route) = ours.as_mut().filter(|_| kept) {
            (route.prefix, route.metric, route.protocol) = (net_of(KEPT), 20, 186);
            facts.insert(facts.len() - 1, Fact::Route(route.clone()));
        }
        net.facts(0, facts);
        net.run(1);
        net.assert_up(0, 1);
        let helper = &net.speakers[1].peers;
        let session = helper.get(helper.id_of(&name(0)).unwrap()).unwrap();
        let told = session.fsm.session().unwrap().graceful_restart.clone();
        let told = told.unwrap();
        assert!(told.restarting);
        assert_eq!(told.families, [(Family::Ipv4Unicast.into(), kept)]);
    }
}

/// RFC 4724 §3: what we put into the kernel ourselves since we started was not kept over a restart.
#[test]
fn a_static_route_does_not_make_a_first_start_a_restart() {
    let mut config = graceful(0, &[1], &[]);
    config.fib.install = true;
    config.statics = vec![crate::config::Static {
        tag: 0,
        prefix: net_of(KEPT),
        via: crate::config::StaticVia::Blackhole,
        originate: true,
    }];
    let mut net = Net::new(vec![config, graceful(1, &[0], &[])]);
    net.facts(0, dump(address(0)));
    net.run(1);
    net.assert_up(0, 1);
    let helper = &net.speakers[1].peers;
    let session = helper.get(helper.id_of(&name(0)).unwrap()).unwrap();
    let told = session.fsm.session().unwrap().graceful_restart.clone();
    let told = told.unwrap();
    assert_eq!(told.families, [(Family::Ipv4Unicast.into(), false)]);
    assert_eq!(net.routes(1), [KEPT]);
}

/// RFC 4724 §4.2, §5: a new connection says that the peer restarted, though its old one seems to be up.
#[test]
fn a_new_connection_ends_the_old_session_and_keeps_its_routes() {
    let mut net = helped();
    net.crash(1, true);
    assert_eq!(net.peer(0, 1).state, State::Established);
    net.boot(1, graceful(1, &[0], &[KEPT]));
    assert_eq!(states(&mut net, 0).first(), Some(&(KEPT, false)));
    net.run(10);
    net.assert_up(0, 1);
    assert_eq!(states(&mut net, 0), [(KEPT, false)]);
    assert_eq!(net.peer(0, 1).established_count, 2);
}

/// RFC 8538 §4: of NOTIFICATIONs, only a Hard Reset costs the routes. §3.1: it carries what was meant.
#[test]
fn a_notification_keeps_the_routes_and_a_hard_reset_does_not() {
    let mut net = helped();
    let order = |net: &mut Net, command| {
        net.with(1, |s, now, out| s.peer_command(now, &name(0), command, out))
            .unwrap();
    };
    // The far end says Cease/Administrative Reset, and is back later.
    order(&mut net, PeerCommand::Reset(None));
    let (host, event) = net.arrivals.pop_front().unwrap();
    net.with(host, |s, now, out| s.handle(now, event, out));
    assert_eq!(states(&mut net, 0), [(KEPT, true), (GONE, true)]);
    net.run(20);
    net.assert_up(0, 1);
    assert_eq!(states(&mut net, 0), [(KEPT, false), (GONE, false)]);
    order(&mut net, PeerCommand::Disable(None));
    net.settle();
    assert_eq!(states(&mut net, 0), []);
    let why = net.peer(0, 1).last_error.unwrap();
    assert!(why.contains("Hard Reset"), "{why}");
}

/// RFC 4724 §4.1: nothing is told before all peers have told all; who never comes holds the others up for a time only.
#[test]
fn a_restarting_speaker_tells_nothing_before_it_has_heard_all() {
    let ours = || graceful(0, &[1, 2], &[KEPT]);
    let mut awaiting = ours();
    awaiting.peers[1].options.passive = true;
    let mut net = Net::new(vec![awaiting, graceful(1, &[0], &[]), config(2, &[])]);
    net.run(50);
    net.assert_up(0, 1);
    assert_eq!(net.routes(1), Vec::<String>::new(), "speaker 2 is awaited");
    net.run(15);
    assert_eq!(net.routes(1), [KEPT], "and is no more");
    let others = [graceful(1, &[0], &[]), graceful(2, &[0], &[])];
    let mut net = Net::new([vec![ours()], others.to_vec()].concat());
    net.run(9);
    assert_eq!(net.routes(1), [KEPT]);
    assert_eq!(net.routes(2), [KEPT]);
}

/// Ours: a peer that does not let us connect is not there, and is awaited for ten seconds only.
#[test]
fn who_refuses_our_connections_is_not_awaited_for_long() {
    let ours = graceful(0, &[1, 2], &[KEPT]);
    let mut net = Net::new(vec![ours, graceful(1, &[0], &[]), config(2, &[])]);
    net.run(9);
    net.assert_up(0, 1);
    assert_eq!(net.routes(1), Vec::<String>::new());
    net.run(2);
    assert_eq!(net.routes(1), [KEPT]);
}

/// RFC 4724 §4.1 excludes peers without graceful restart; but our End-of-RIB would have a helper forget what such a peer is
/// about to tell. It is awaited until it says no more.
#[test]
fn what_a_peer_without_graceful_restart_tells_is_told_on_before_our_end_of_rib() {
    let mut ours = graceful(0, &[1, 2], &[]);
    ours.peers[1].options.graceful_restart = None;
    let mut far = config(2, &[0]);
    far.originate = vec![originate(KEPT)];
    let mut net = Net::new(vec![ours.clone(), graceful(1, &[0], &[]), far]);
    net.run(30);
    assert_eq!(states(&mut net, 1), [(KEPT, false)]);
    net.crash(0, false);
    assert_eq!(states(&mut net, 1), [(KEPT, true)]);
    net.boot(0, ours);
    for _ in 0..30 {
        net.run(1);
        assert_eq!(states(&mut net, 1).len(), 1);
    }
    assert_eq!(states(&mut net, 1), [(KEPT, false)]);
}

/// RFC 4724 §4.1: who restarts sets the R bit; §4.2: who helps does not, nor does the other once its restart is over.
#[test]
fn the_r_bit_is_set_by_who_restarts_and_by_nobody_else() {
    let mut net = helped();
    let told = |net: &Net, by: usize, to: usize| {
        let peers = &net.speakers[to].peers;
        let peer = peers.get(peers.id_of(&name(by)).unwrap()).unwrap();
        let session = peer.fsm.session().unwrap();
        session.graceful_restart.as_ref().unwrap().restarting
    };
    net.crash(1, false);
    net.boot(1, graceful(1, &[0], &[KEPT]));
    net.run(20);
    net.assert_up(0, 1);
    assert!(told(&net, 1, 0));
    assert!(!told(&net, 0, 1));
    net.run(90);
    net.with(1, |s, now, out| {
        s.peer_command(now, &name(0), PeerCommand::Reset(None), out)
    })
    .unwrap();
    net.run(20);
    net.assert_up(0, 1);
    assert!(!told(&net, 1, 0));
}

/// RFC 4724 §4.2: stale routes are as good as others, until they are gone.
#[test]
fn a_stale_route_is_as_good_as_another() {
    let ours = graceful(0, &[1, 2], &[]);
    let others = [graceful(1, &[0], &[KEPT]), graceful(2, &[0], &[KEPT])];
    let mut net = Net::new([vec![ours], others.to_vec()].concat());
    net.run(90);
    let best = |net: &mut Net| {
        let page = net.speakers[0].routes(&RouteQuery::default(), None, 100);
        page.unwrap().routes[0].paths[0].source.clone()
    };
    let first = best(&mut net);
    assert_eq!(first, crate::view::Source::Peer(name(1)));
    net.crash(1, false);
    assert_eq!(states(&mut net, 0), [(KEPT, true)]);
    assert_eq!(best(&mut net), first);
}
