//! Sessions, ranges, limits, the gate, the end.

use super::*;
use crate::Notice;
use crate::command::PeerCommand;
use crate::config::{MaxPrefixes, MaxPrefixesAction, PeerRange, Secret};

fn refused(net: &Net, host: usize) -> Vec<&'static str> {
    let notices = net.done.iter().filter_map(|(who, effect)| match effect {
        Effect::Notice(Notice::Refused { why, .. }) if *who == host => Some(*why),
        _ => None,
    });
    notices.collect()
}

#[test]
fn sessions_come_up_and_routes_flow_both_ways() {
    let (mut first, mut second) = (config(0, &[1]), config(1, &[0]));
    first.originate.push(originate("198.51.100.0/24"));
    second.originate.push(originate("203.0.113.0/24"));
    let mut net = Net::new(vec![first, second]);
    net.run(10);
    net.assert_up(0, 1);
    let both = ["198.51.100.0/24", "203.0.113.0/24"];
    assert_eq!(net.routes(0), both);
    assert_eq!(net.routes(1), both);
    let view = net.peer(0, 1);
    assert_eq!(
        (view.prefixes.ipv4.received, view.prefixes.ipv4.advertised),
        (1, 1)
    );
    assert_eq!(view.established_count, 1);
}

#[test]
fn a_disabled_peer_stays_down_until_it_is_enabled() {
    let mut net = Net::pair();
    let order = |net: &mut Net, command| {
        net.with(0, |s, now, out| s.peer_command(now, &name(1), command, out))
    };
    order(&mut net, PeerCommand::Disable(Some("maintenance".into()))).unwrap();
    net.run(120);
    assert!(!net.peer(0, 1).enabled);
    assert_eq!(net.peer(0, 1).state, State::Idle);
    assert!(matches!(
        order(&mut net, PeerCommand::Reset(None)),
        Err(Refusal::Precondition(_))
    ));
    assert!(matches!(
        order(&mut net, PeerCommand::Refresh(None)),
        Err(Refusal::Precondition(_))
    ));
    order(&mut net, PeerCommand::Enable).unwrap();
    net.run(10);
    net.assert_up(0, 1);
}

#[test]
fn an_order_about_nobody_is_refused() {
    let mut net = Net::pair();
    let order = net.with(0, |s, now, out| {
        s.peer_command(now, &name(7), PeerCommand::Enable, out)
    });
    assert_eq!(order, Err(Refusal::NotFound("peer 192.0.2.8".into())));
    let query = RouteQuery {
        received_from: Some(name(7)),
        ..RouteQuery::default()
    };
    assert!(matches!(
        net.speakers[0].routes(&query, None, 1),
        Err(Refusal::NotFound(_))
    ));
}

/// Two peers with one link-local address, each on a link of its own.
#[test]
fn a_link_local_peer_is_named_with_its_interface() {
    let mut ours = config(0, &[]);
    let address: IpAddr = "fe80::2".parse().unwrap();
    for (interface, asn) in [("eth0", 65002), ("eth1", 65003)] {
        let interface = Some(interface.to_owned());
        ours.peers.push(PeerConfig {
            address,
            asn,
            options: PeerOptions {
                interface,
                ..options()
            },
        });
    }
    let speaker = Speaker::new(ours, Instant::now(), 1).unwrap();
    let mut speaker = speaker;
    speaker.start(Instant::now(), &mut Vec::new());
    let second = PeerName::new(address, Some("eth1"));
    assert_eq!(speaker.peer(&second).unwrap().asn, 65003);
    assert_eq!(second.to_string(), "fe80::2%eth1");
    let query = RouteQuery {
        received_from: Some(second),
        ..RouteQuery::default()
    };
    speaker.routes(&query, None, 1).unwrap();
}

fn range(asns: Vec<u32>, limit: usize) -> PeerRange {
    PeerRange {
        prefix: net_of("192.0.2.0/24"),
        asns,
        limit,
        options: options(),
    }
}

#[test]
fn a_range_takes_who_comes_up_to_its_limit() {
    let mut open = config(0, &[]);
    open.ranges.push(range(Vec::new(), 1));
    let mut net = Net::new(vec![open, config(1, &[0]), config(2, &[0])]);
    net.run(10);
    net.assert_up(0, 1);
    assert!(net.peer(0, 1).dynamic);
    assert!(net.speakers[0].peer(&name(2)).is_none());
    assert!(refused(&net, 0).contains(&"its range is full"));
}

#[test]
fn a_range_takes_only_its_ases_and_forgets_who_is_gone() {
    let mut open = config(0, &[]);
    open.ranges.push(range(vec![asn(2)], 10));
    let mut net = Net::new(vec![open, config(1, &[0]), config(2, &[0])]);
    net.run(10);
    net.assert_up(0, 2);
    assert_ne!(net.peer(1, 0).state, State::Established);
    net.with(2, |s, now, out| {
        s.peer_command(now, &name(0), PeerCommand::Disable(None), out)
            .unwrap();
    });
    net.run(1);
    assert!(net.speakers[0].peer(&name(2)).is_none());
}

#[test]
fn a_disabled_peer_of_a_range_does_not_come_back_by_itself() {
    let mut open = config(0, &[]);
    open.ranges.push(range(Vec::new(), 10));
    let mut net = Net::new(vec![open, config(1, &[0])]);
    net.run(10);
    let order = |net: &mut Net, command| {
        net.with(0, |s, now, out| s.peer_command(now, &name(1), command, out))
            .unwrap();
    };
    order(&mut net, PeerCommand::Disable(None));
    net.run(60);
    assert_eq!(net.peer(0, 1).state, State::Idle);
    order(&mut net, PeerCommand::Enable);
    net.run(60);
    net.assert_up(0, 1);
}

fn limited(then: MaxPrefixesAction) -> Net {
    let mut strict = config(0, &[1]);
    strict.peers[0].options.max_prefixes = Some(MaxPrefixes {
        limit: 2,
        warn_at: 50,
        then,
    });
    let mut lavish = config(1, &[0]);
    for prefix in ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"] {
        lavish.originate.push(originate(prefix));
    }
    let mut net = Net::new(vec![strict, lavish]);
    net.run(10);
    let is_warning = |effect: &Effect| matches!(effect, Effect::Notice(Notice::MaxPrefixes { .. }));
    assert!(
        net.done
            .iter()
            .any(|(host, effect)| *host == 0 && is_warning(effect))
    );
    net
}

#[test]
fn too_many_prefixes_are_worth_a_notice() {
    let net = limited(MaxPrefixesAction::Warn);
    net.assert_up(0, 1);
    assert_eq!(net.peer(0, 1).prefixes.ipv4.received, 3);
}

#[test]
fn too_many_prefixes_stop_a_peer_until_it_is_enabled() {
    let mut net = limited(MaxPrefixesAction::Stop);
    net.run(600);
    let view = net.peer(0, 1);
    assert_eq!(
        (view.enabled, view.state, view.prefixes.ipv4.received),
        (false, State::Idle, 0)
    );
    assert!(view.last_error.unwrap().contains("6/1"));
    assert_eq!(view.established_count, 1);
}

#[test]
fn too_many_prefixes_keep_a_peer_down_for_a_while() {
    let mut net = limited(MaxPrefixesAction::Restart(Duration::from_secs(60)));
    net.run(45);
    assert_eq!(
        (net.peer(0, 1).enabled, net.peer(0, 1).established_count),
        (true, 1)
    );
    net.run(120);
    assert!(net.peer(0, 1).established_count > 1);
}

#[test]
fn listening_sockets_have_the_keys_of_peers_and_ranges() {
    let mut ours = config(0, &[1, 2]);
    let key = |text: &str| Some(Secret(text.as_bytes().to_vec()));
    ours.peers[0].options.password = key("one");
    ours.ranges.push(range(Vec::new(), 1));
    ours.ranges[0].options.password = key("all");
    let net = Net::new(vec![ours]);
    let keys = net.done.iter().find_map(|(_, effect)| match effect {
        Effect::ListenKeys(keys) => Some(keys),
        _ => None,
    });
    let keys: Vec<_> = keys
        .unwrap()
        .iter()
        .map(|key| key.remote.to_string())
        .collect();
    assert_eq!(keys, ["192.0.2.2/32", "192.0.2.0/24"]);
}

/// RFC 5082 §3: "the TTL field … MUST be set to 255".
#[test]
fn the_gate_has_the_ttl_that_the_peer_is_to_see() {
    let gate = |change: &dyn Fn(&mut PeerConfig)| {
        let mut ours = config(0, &[1]);
        change(&mut ours.peers[0]);
        let net = Net::new(vec![ours]);
        let gate = &net.gates.first().unwrap().1;
        (gate.ttl, gate.min_ttl)
    };
    assert_eq!(gate(&|_| {}), (Some(1), None));
    assert_eq!(
        gate(&|peer| peer.options.multihop = Some(3)),
        (Some(3), None)
    );
    assert_eq!(gate(&|peer| peer.asn = asn(0)), (None, None));
    assert_eq!(
        gate(&|peer| peer.options.gtsm = true),
        (Some(255), Some(255))
    );
    let far = |peer: &mut PeerConfig| (peer.options.gtsm, peer.options.multihop) = (true, Some(3));
    assert_eq!(gate(&far), (Some(255), Some(253)));
}

#[test]
fn peers_of_a_range_of_our_own_as_may_be_far_away() {
    let mut open = config(0, &[]);
    open.ranges.push(range(vec![asn(0)], 10));
    let mut net = Net::new(vec![open, config(1, &[0])]);
    net.run(1);
    let (_, gate) = net.gates.iter().find(|(host, _)| *host == 0).unwrap();
    assert_eq!(gate.ttl, None);
}

#[test]
fn a_connection_that_was_given_up_is_closed_when_it_comes_up() {
    let mut speaker = Speaker::new(config(0, &[1]), Instant::now(), 1).unwrap();
    let (now, mut out) = (Instant::now(), Vec::new());
    speaker.start(now, &mut out);
    let conn = out.iter().find_map(|effect| match effect {
        Effect::Connect { conn, .. } => Some(*conn),
        _ => None,
    });
    let conn = conn.unwrap();
    speaker
        .peer_command(now, &name(1), PeerCommand::Disable(None), &mut out)
        .unwrap();
    out.clear();
    let local = SocketAddr::new(address(0), 1);
    speaker.handle(now, Event::Connected { conn, local }, &mut out);
    assert!(matches!(out.as_slice(), [Effect::Close { conn: closed }] if *closed == conn));
}

#[test]
fn a_shutdown_ends_sessions_and_lets_nothing_begin() {
    let mut net = Net::pair();
    net.with(0, |s, now, out| s.handle(now, Event::Shutdown, out));
    net.run(30);
    let ends = net
        .done
        .iter()
        .filter(|(_, effect)| matches!(effect, Effect::Ended));
    assert_eq!(ends.count(), 1);
    assert!(
        net.peer(1, 0)
            .last_error
            .unwrap()
            .contains("Administrative Shutdown")
    );
    assert!(refused(&net, 0).contains(&"we are shutting down"));
    let again = net.with(0, |s, now, out| {
        s.peer_command(now, &name(1), PeerCommand::Enable, out)
    });
    assert!(matches!(again, Err(Refusal::Precondition(_))));
    assert_eq!(net.speakers[0].deadline(), None);
}

/// An UPDATE for 192.0.2.0/24 whose ORIGIN is this.
fn update_with_origin(origin: u8) -> Bytes {
    let attributes = [
        &[0x40, 1, 1, origin, 0x40, 2, 6, 2, 1][..],
        &asn(1).to_be_bytes(),
        &[0x40, 3, 4, 192, 0, 2, 1],
    ]
    .concat();
    let len = u8::try_from(attributes.len()).unwrap();
    let body = [&[0, 0, 0, len][..], &attributes, &[24, 192, 0, 2]].concat();
    let len = u16::try_from(19 + body.len()).unwrap();
    [&[0xff; 16][..], &len.to_be_bytes(), &[2], &body]
        .concat()
        .into()
}

#[test]
fn of_a_malformed_update_the_prefixes_and_the_whole_message_are_told() {
    let mut net = Net::pair();
    net.run(10);
    let (&(_, conn), _) = net.wires.iter().find(|((host, _), _)| *host == 0).unwrap();
    let data = update_with_origin(7);
    let sent = data.slice(19..);
    net.arrivals.push_back((0, Event::Received { conn, data }));
    net.run(1);
    let told = net.done.iter().find_map(|(who, effect)| match effect {
        Effect::Notice(Notice::Malformed {
            faults,
            prefixes,
            body,
            ..
        }) if *who == 0 => Some((faults.len(), prefixes.clone(), body.clone())),
        _ => None,
    });
    assert_eq!(told, Some((1, vec![net_of("192.0.2.0/24")], sent)));
    net.assert_up(0, 1);
    assert_eq!(net.peer(0, 1).malformed, (0, 1));
}

#[test]
fn what_we_offer_what_was_agreed_on_and_what_limits_it_is_told() {
    let (mut first, mut second) = (config(0, &[1]), config(1, &[0]));
    let ours = &mut first.peers[0].options;
    ours.add_path_send = true;
    ours.add_path_limit = 3;
    ours.multihop = Some(2);
    ours.gtsm = true;
    ours.password = Some(Secret(b"compass".to_vec()));
    ours.keepalive = Some(Duration::from_secs(7));
    ours.max_prefixes = Some(MaxPrefixes {
        limit: 50,
        warn_at: 50,
        then: MaxPrefixesAction::Stop,
    });
    second.peers[0].options.add_path_receive = true;
    second.peers[0].options.hold_time = Duration::from_secs(30);
    let mut net = Net::new(vec![first, second]);
    let down = net.peer(0, 1);
    assert!(down.offered.contains(&"4-octet AS 65001".to_owned()));
    assert!(
        down.offered.contains(&"add-path ipv4 Send".to_owned()),
        "{:?}",
        down.offered
    );
    assert_eq!((down.ttl, down.min_ttl), (Some(255), Some(254)));
    assert_eq!(down.authentication, Some("tcp-md5"));
    assert_eq!(down.local_asn, 65001);
    net.run(10);
    let up = net.peer(0, 1);
    let session = up.session.unwrap();
    let agreed = |what: &str| session.agreed.iter().any(|agreed| agreed == what);
    assert!(agreed("ipv4") && agreed("4-octet AS") && agreed("extended message"));
    assert!(
        agreed("add-path send ipv4, up to 3"),
        "{:?}",
        session.agreed
    );
    assert!(
        !session
            .agreed
            .iter()
            .any(|agreed| agreed.contains("receive") || agreed == "ipv6")
    );
    assert_eq!(session.hold_time, Some(Duration::from_secs(30)));
    assert_eq!(session.keepalive, Some(Duration::from_secs(7)));
    assert_eq!(up.timers.hold_time, Duration::from_secs(90));
    let limit = up.limit.unwrap();
    assert_eq!((limit.limit, limit.warn_at, limit.then), (50, 25, "stop"));
}
