//! The attribute rules of RFC 4271 §5 and §9, and those of its companions: a test a MUST.

use bgp_core::attributes::{ExtendedCommunity, LargeCommunity};
use bgp_core::capability::Role;

use super::*;

const PREFIX: &str = "192.0.2.0/24";

/// What the listener gets of `attributes`, with sessions that are changed first.
fn told_with(
    (from, to): (Sort, Sort),
    attributes: &Attributes,
    change: impl Fn(&mut PeerSession, &mut PeerSession),
) -> Option<Attributes> {
    let (mut sender, mut listener) = (session(0, from), session(1, to));
    change(&mut sender, &mut listener);
    let mut rib = Rib::new(config());
    rib.peer_up(PeerId(0), sender);
    rib.peer_up(PeerId(1), listener);
    rib.receive(PeerId(0), &update(PREFIX, Some(attributes)))
        .unwrap();
    let mut heard = Listener::of(to);
    drain(&mut rib, 1, &mut heard);
    heard.routes.remove(&PREFIX.parse().unwrap())
}

fn told(sorts: (Sort, Sort), attributes: &Attributes) -> Option<Attributes> {
    told_with(sorts, attributes, |_, _| ())
}

const EBGP: (Sort, Sort) = (Sort::External, Sort::External);
const TO_IBGP: (Sort, Sort) = (Sort::External, Sort::Internal);
const FROM_IBGP: (Sort, Sort) = (Sort::Internal, Sort::External);

fn asns(attributes: &Attributes) -> Vec<u32> {
    attributes.as_path.asns().collect()
}

/// RFC 4271 §5.1.2 a: "When a given BGP speaker advertises the route to an internal peer, the advertising speaker SHALL
/// NOT modify the AS_PATH attribute associated with the route."
#[test]
fn as_path_is_not_modified_for_an_internal_peer() {
    assert_eq!(
        asns(&told(TO_IBGP, &route([65000, 3])).unwrap()),
        [65000, 3]
    );
}

/// §5.1.2 b 1: "the local system prepends its own AS number as the last element of the sequence".
#[test]
fn our_as_is_prepended_for_an_external_peer() {
    assert_eq!(
        asns(&told(EBGP, &route([65000, 3])).unwrap()),
        [OURS, 65000, 3]
    );
}

/// §5.1.3 1: "When sending a message to an internal peer, if the route is not locally originated, the BGP speaker SHOULD
/// NOT modify the NEXT_HOP attribute unless it has been explicitly configured".
#[test]
fn next_hop_stays_for_an_internal_peer_unless_configured() {
    let sent = route([65000]);
    assert_eq!(told(TO_IBGP, &sent).unwrap().next_hop, sent.next_hop);
    let changed = told_with(TO_IBGP, &sent, |_, to| to.next_hop = NextHopRule::Myself);
    assert_eq!(changed.unwrap().next_hop, NextHop::V4(OUR_ID));
}

/// §5.1.3 2: to an external peer the next hop is our own address, unless configured otherwise.
#[test]
fn next_hop_is_ourselves_for_an_external_peer_unless_configured() {
    let sent = route([65000]);
    assert_eq!(told(EBGP, &sent).unwrap().next_hop, NextHop::V4(OUR_ID));
    let unchanged = told_with(EBGP, &sent, |_, to| to.next_hop = NextHopRule::Unchanged);
    assert_eq!(unchanged.unwrap().next_hop, sent.next_hop);
    let other = Ipv4Addr::new(203, 0, 113, 9);
    let address = told_with(EBGP, &sent, |_, to| {
        to.next_hop = NextHopRule::Address(other.into());
    });
    assert_eq!(address.unwrap().next_hop, NextHop::V4(other));
}

/// §5.1.4: "The MULTI_EXIT_DISC attribute received from a neighboring AS MUST NOT be propagated to other neighboring
/// ASes." Within the AS it "MAY be propagated over IBGP".
#[test]
fn med_is_not_propagated_to_other_ases() {
    let sent = Attributes {
        med: Some(7),
        ..route([65000])
    };
    assert_eq!(told(EBGP, &sent).unwrap().med, None);
    assert_eq!(told(FROM_IBGP, &sent).unwrap().med, None);
    assert_eq!(told(TO_IBGP, &sent).unwrap().med, Some(7));
}

/// §5.1.5: "LOCAL_PREF is a well-known attribute that SHALL be included in all UPDATE messages that a given BGP speaker
/// sends to other internal peers." and "A BGP speaker MUST NOT include this attribute in UPDATE messages it sends to
/// external peers".
#[test]
fn local_pref_is_for_internal_peers_only() {
    let sent = Attributes {
        local_pref: Some(300),
        ..route([65000])
    };
    let reflected = told((Sort::Client, Sort::Internal), &sent).unwrap();
    assert_eq!(reflected.local_pref, Some(300));
    assert_eq!(told(TO_IBGP, &sent).unwrap().local_pref, Some(100));
    assert_eq!(told(FROM_IBGP, &sent).unwrap().local_pref, None);
}

/// §9.2: "When a BGP speaker receives an UPDATE message from an internal peer, the receiving BGP speaker SHALL NOT
/// re-distribute the routing information contained in that UPDATE message to other internal peers".
#[test]
fn internal_routes_are_not_redistributed_to_internal_peers() {
    assert_eq!(
        told((Sort::Internal, Sort::Internal), &route([65000])),
        None
    );
}

/// RFC 4456 §6: from a non-client to clients only, from a client to all; §8: "If the ORIGINATOR_ID is not present", the
/// reflector creates it, and "it MUST prepend the local CLUSTER_ID to the CLUSTER_LIST".
#[test]
fn a_reflector_marks_what_it_reflects() {
    for sorts in [
        (Sort::Internal, Sort::Client),
        (Sort::Client, Sort::Client),
        (Sort::Client, Sort::Internal),
    ] {
        let reflected = told(sorts, &route([65000])).unwrap();
        assert_eq!(reflected.originator_id, Some(address(0)));
        assert_eq!(reflected.cluster_list.as_slice(), [OUR_ID]);
        assert_eq!(reflected.next_hop, route([]).next_hop);
    }
    let first = Ipv4Addr::new(1, 1, 1, 1);
    let sent = Attributes {
        originator_id: Some(first),
        cluster_list: [first].into_iter().collect(),
        ..route([65000])
    };
    let again = told((Sort::Client, Sort::Client), &sent).unwrap();
    assert_eq!(again.originator_id, Some(first));
    assert_eq!(again.cluster_list.as_slice(), [OUR_ID, first]);
    // From an external peer nothing is reflected.
    assert_eq!(
        told((Sort::External, Sort::Client), &route([65000]))
            .unwrap()
            .originator_id,
        None
    );
}

/// RFC 4456 §10: a reflector does not modify NEXT_HOP, AS_PATH, LOCAL_PREF and MED.
#[test]
fn what_is_reflected_is_else_unchanged() {
    let sent = Attributes {
        local_pref: Some(200),
        med: Some(7),
        communities: [Community(9)].into_iter().collect(),
        ..route([65000, 65009])
    };
    let reflected = told((Sort::Client, Sort::Internal), &sent).unwrap();
    assert_eq!(
        reflected,
        Attributes {
            originator_id: Some(address(0)),
            cluster_list: [OUR_ID].into_iter().collect(),
            ..sent
        }
    );
}

/// RFC 4456 §8: ORIGINATOR_ID and CLUSTER_LIST are for the AS alone.
#[test]
fn neither_originator_nor_clusters_leave_the_as() {
    let first = Ipv4Addr::new(1, 1, 1, 1);
    let sent = Attributes {
        originator_id: Some(first),
        cluster_list: [first].into_iter().collect(),
        ..route([65000])
    };
    let outside = told((Sort::Client, Sort::External), &sent).unwrap();
    assert_eq!(outside.originator_id, None);
    assert!(outside.cluster_list.is_empty());
}

/// RFC 4456 §6 has a reflector pass on what a client told to all; clients that tell each other need none of it. A switch
/// that turns withdraws and tells, and touches nobody else.
#[test]
fn clients_that_tell_each_other_are_told_nothing_of_each_other() {
    let mut rib = Rib::new(config());
    let sorts = [Sort::Client, Sort::Client, Sort::Internal, Sort::External];
    for (peer, sort) in (0..).zip(sorts) {
        rib.peer_up(PeerId(peer), session(peer, sort));
    }
    let mut listeners = sorts.map(Listener::of);
    for peer in [0, 2, 3] {
        let prefix = format!("10.{peer}.0.0/16");
        rib.receive(PeerId(peer), &update(&prefix, Some(&route([65003]))))
            .unwrap();
    }
    for on in [true, false, true] {
        rib.set_config(Config {
            client_to_client: on,
            ..config()
        });
        for (peer, sort) in (0..).zip(sorts) {
            rib.update_peer(PeerId(peer), session(peer, sort));
            drain(&mut rib, peer, &mut listeners[peer as usize]);
        }
        let known = |peer: usize| -> Vec<String> {
            let prefixes = listeners[peer].routes.keys();
            prefixes.map(ToString::to_string).collect()
        };
        let of_client = |others: &[&str]| -> Vec<String> {
            let own = on.then_some("10.0.0.0/16");
            own.iter().chain(others).map(ToString::to_string).collect()
        };
        assert_eq!(known(0), ["10.2.0.0/16", "10.3.0.0/16"]);
        assert_eq!(known(1), of_client(&["10.2.0.0/16", "10.3.0.0/16"]));
        assert_eq!(known(2), ["10.0.0.0/16", "10.3.0.0/16"]);
        assert_eq!(known(3), ["10.0.0.0/16", "10.2.0.0/16"]);
    }
    let withdrawn: Vec<usize> = listeners.iter().map(|l| l.withdrawals).collect();
    assert_eq!(withdrawn, [0, 1, 0, 0]);
}

/// RFC 4271 §9.1.2: "If the AS_PATH attribute of a BGP route contains an AS loop, the BGP route should be excluded".
/// RFC 4456 §8: a route with our identifier as ORIGINATOR_ID, or our cluster in CLUSTER_LIST, is ignored.
#[test]
fn loops_are_excluded() {
    let sorts = (Sort::Client, Sort::Client);
    assert_eq!(told(EBGP, &route([65000, OURS, 5])), None);
    assert!(
        told_with(EBGP, &route([65000, OURS, 5]), |from, _| from
            .allow_local_as =
            1)
        .is_some()
    );
    let originator = Attributes {
        originator_id: Some(OUR_ID),
        ..route([65000])
    };
    assert_eq!(told(sorts, &originator), None);
    let cluster = Attributes {
        cluster_list: [OUR_ID].into_iter().collect(),
        ..route([65000])
    };
    assert_eq!(told(sorts, &cluster), None);
}

/// RFC 9774 §3: "MUST NOT advertise BGP UPDATE messages containing AS_SETs or AS_CONFED_SETs", though a peer may be let
/// tell us some.
#[test]
fn nobody_is_told_a_path_with_a_set() {
    let with = |path: &str| Attributes {
        as_path: path.parse().unwrap(),
        ..route([])
    };
    assert!(told(EBGP, &with("65000 5")).is_some());
    assert_eq!(told(EBGP, &with("65000 {5}")), None);
    for path in ["65000 {5,6}", "[65100,65101] 65000"] {
        assert_eq!(told((Sort::Client, Sort::Client), &with(path)), None);
    }
}

/// RFC 1997: NO_EXPORT "MUST NOT be advertised outside a BGP confederation boundary", NO_ADVERTISE "MUST NOT be
/// advertised to other BGP peers", NO_EXPORT_SUBCONFED "MUST NOT be advertised to external BGP peers".
#[test]
fn well_known_communities_are_obeyed() {
    let with = |community| Attributes {
        communities: [community].into_iter().collect(),
        ..route([65000])
    };
    for (community, external, internal) in [
        (Community::NO_EXPORT, false, true),
        (Community::NO_ADVERTISE, false, false),
        (Community::NO_EXPORT_SUBCONFED, false, true),
        (Community::BLACKHOLE, true, true),
    ] {
        assert_eq!(told(EBGP, &with(community)).is_some(), external);
        assert_eq!(told(TO_IBGP, &with(community)).is_some(), internal);
    }
}

/// RFC 8212 §2.1 and §2.2: without a policy routes "SHALL NOT be considered in the Decision Process", nor "SHALL [they]
/// be placed in Adj-RIB-Out".
#[test]
fn nothing_passes_without_policies() {
    assert_eq!(
        told_with(EBGP, &route([65000]), |from, _| from.import = None),
        None
    );
    assert_eq!(
        told_with(EBGP, &route([65000]), |_, to| to.export = None),
        None
    );
}

/// RFC 7311 §3.1: AIGP is not sent where it is not enabled; §3.4: who sets the next hop to itself adds its own cost.
#[test]
fn aigp_grows_by_our_cost_and_stays_where_it_is_enabled() {
    let sent = Attributes {
        aigp: Some(100),
        ..route([65000])
    };
    assert_eq!(told(TO_IBGP, &sent).unwrap().aigp, Some(100));
    assert_eq!(
        told_with(EBGP, &sent, |_, to| to.aigp = false)
            .unwrap()
            .aigp,
        None
    );
    let (mut rib, mut listener) = pair(Sort::External, Sort::External);
    rib.receive(PeerId(0), &update(PREFIX, Some(&sent)))
        .unwrap();
    let key = NextHopKey {
        address: Ipv4Addr::new(10, 1, 0, 1).into(),
        interface: None,
        direct: false,
    };
    for cost in [5, 9] {
        rib.set_next_hop(key, Some(cost));
        drain(&mut rib, 1, &mut listener);
        let told = listener.routes.values().next().unwrap();
        assert_eq!(told.aigp, Some(100 + cost));
    }
}

/// Draft-ietf-idr-link-bandwidth §2: octets a second, and our AS number, where we are the next hop and are to tell; no more
/// than was told to us; and again when it changes.
#[test]
fn link_bandwidth_is_that_of_our_link_or_less() {
    let of = |asn, octets| ExtendedCommunity::link_bandwidth(asn, octets);
    let told = |kinds: (Sort, Sort), is_told, heard: Option<f32>, rates: &[Option<u64>]| {
        let mut sent = route([65000]);
        sent.ext_communities
            .extend(heard.map(|octets| of(65000, octets)));
        let (sender, mut to) = (session(0, kinds.0), session(1, kinds.1));
        to.link_bandwidth = is_told;
        let (mut rib, mut listener) = (Rib::new(config()), Listener::of(kinds.1));
        rib.peer_up(PeerId(0), sender);
        rib.peer_up(PeerId(1), to);
        rib.receive(PeerId(0), &update(PREFIX, Some(&sent)))
            .unwrap();
        let key = NextHopKey {
            address: Ipv4Addr::new(10, 1, 0, 1).into(),
            interface: None,
            direct: false,
        };
        let told = |rate: &Option<u64>| {
            let resolved = Resolved {
                rate: *rate,
                ..Some(5).into()
            };
            rib.set_next_hop(key, resolved);
            drain(&mut rib, 1, &mut listener);
            listener
                .routes
                .values()
                .next()
                .unwrap()
                .ext_communities
                .clone()
        };
        rates.iter().map(told).collect::<Vec<_>>()
    };
    let ours = u16::try_from(OURS).unwrap();
    let rates = [Some(8_000), Some(16_000), None];
    let one = |octets| [of(ours, octets)].into_iter().collect();
    let none = route([65000]).ext_communities;
    let expected = [one(1000.0), one(2000.0), none.clone()];
    assert_eq!(told(EBGP, true, None, &rates), expected);
    assert_eq!(
        told(EBGP, false, None, &rates),
        [none.clone(), none.clone(), none.clone()]
    );
    // Not transitive: what another AS told stays with us, and yet no more than that gets through.
    assert_eq!(
        told(FROM_IBGP, true, Some(1500.0), &rates),
        [one(1000.0), one(1500.0), none.clone()]
    );
    // The next hop is not ours.
    assert_eq!(
        told(TO_IBGP, true, None, &rates),
        [none.clone(), none.clone(), none]
    );
}

/// RFC 7311 §3.4.1: AIGP begins where the route does, in our own AS; never for what another AS told without it.
#[test]
fn what_begins_in_our_own_as_gets_aigp_where_it_is_enabled() {
    let aigp_of = |from, path: &[u32], enabled| {
        let sent = route(path.iter().copied());
        let told = told_with((from, Sort::External), &sent, |_, to| to.aigp = enabled);
        told.unwrap().aigp
    };
    assert_eq!(aigp_of(Sort::Internal, &[], true), Some(0));
    assert_eq!(aigp_of(Sort::Internal, &[], false), None);
    assert_eq!(aigp_of(Sort::Internal, &[65000], true), None);
    assert_eq!(aigp_of(Sort::External, &[65000], true), None);
}

/// RFC 9234 §5: what is marked does not go up, and what goes down is marked.
#[test]
fn only_to_customer_keeps_routes_from_leaking() {
    let marked = Attributes {
        only_to_customer: Some(65000),
        ..route([65000])
    };
    let roles = |from, to, attributes: &Attributes| {
        told_with(EBGP, attributes, |sender, listener| {
            sender.role = from;
            listener.role = to;
        })
    };
    let plain = route([65000]);
    // Egress 2: to customers, peers and clients; egress 1: never to providers, peers and route servers.
    for (role, passes) in [
        (Role::Provider, true),
        (Role::RouteServer, true),
        (Role::Peer, false),
        (Role::Customer, false),
        (Role::RouteServerClient, false),
    ] {
        assert_eq!(
            roles(None, Some(role), &marked).is_some(),
            passes,
            "{role:?}"
        );
    }
    let down = roles(None, Some(Role::Provider), &plain).unwrap();
    assert_eq!(down.only_to_customer, Some(OURS));
    assert_eq!(
        roles(None, Some(Role::Customer), &plain)
            .unwrap()
            .only_to_customer,
        None
    );
    // Ingress 1 and 2: leaks. Ingress 3: what a provider tells is marked with its AS.
    assert_eq!(roles(Some(Role::Provider), None, &marked), None);
    assert!(roles(Some(Role::Peer), None, &marked).is_some());
    let foreign = Attributes {
        only_to_customer: Some(64000),
        ..route([65000])
    };
    assert_eq!(roles(Some(Role::Peer), None, &foreign), None);
    let from_provider = roles(Some(Role::Customer), None, &plain).unwrap();
    assert_eq!(from_provider.only_to_customer, Some(65000));
}

/// RFC 7947 §2.2: a route server changes neither NEXT_HOP nor AS_PATH nor MED.
#[test]
fn a_route_server_is_transparent() {
    let sent = Attributes {
        med: Some(7),
        ..route([65000])
    };
    let told = told_with(EBGP, &sent, |_, to| to.rs_client = true).unwrap();
    assert_eq!(told, sent);
}

/// RFC 7947 §2.2.4: communities "SHOULD NOT be modified, processed, or removed" by a route server. What is our own, or came
/// from within our AS, is no client's word.
#[test]
fn a_route_server_does_not_read_what_clients_tell_each_other() {
    let own = ExtendedCommunity([0x40, 2, 0, 1, 0, 0, 0, 5]);
    assert!(!own.is_transitive());
    for community in [Community::NO_EXPORT, Community::NO_ADVERTISE] {
        let sent = Attributes {
            communities: [community].into_iter().collect(),
            ext_communities: [own].into_iter().collect(),
            ..route([65000])
        };
        let passed = told((Sort::Served, Sort::Served), &sent).unwrap();
        assert_eq!(passed.communities.as_slice(), [community]);
        assert_eq!(passed.ext_communities.as_slice(), [own]);
        assert_eq!(told((Sort::Client, Sort::Served), &sent), None);
        assert_eq!(told((Sort::Served, Sort::External), &sent), None);
    }
}

/// RFC 4271 §5: optional transitive attributes are passed on; RFC 4360 §6: not the communities that are not transitive.
#[test]
fn transitive_attributes_travel_on() {
    let bandwidth = ExtendedCommunity::link_bandwidth(65000, 1000.0);
    let target: ExtendedCommunity = "rt:65001:5".parse().unwrap();
    let large = LargeCommunity {
        global: 1,
        local1: 2,
        local2: 3,
    };
    let sent = Attributes {
        ext_communities: [bandwidth, target].into_iter().collect(),
        large_communities: [large].into_iter().collect(),
        atomic_aggregate: true,
        ..route([65000])
    };
    let external = told(EBGP, &sent).unwrap();
    assert_eq!(external.ext_communities.as_slice(), [target]);
    assert_eq!(external.large_communities, sent.large_communities);
    assert!(external.atomic_aggregate);
    let internal = told(TO_IBGP, &sent).unwrap();
    assert_eq!(internal.ext_communities, sent.ext_communities);
}

/// RFC 2545 §3: the link-local next hop is for those on the link. RFC 8950 §4: IPv6 next hops for IPv4 only if agreed.
#[test]
fn ipv6_next_hops_are_written_for_whom_they_serve() {
    let link_local = "fe80::1".parse().unwrap();
    let global = "2001:db8::1".parse().unwrap();
    let sent = Attributes {
        next_hop: NextHop::V6WithLinkLocal(
            "2001:db8::9".parse().unwrap(),
            "fe80::9".parse().unwrap(),
        ),
        ..route([65000])
    };
    let hear = |change: fn(&mut PeerSession), to, prefix: &str, sent: &Attributes| {
        let mut rib = Rib::new(config());
        let mut listener = session(1, to);
        listener.local.link_local = Some("fe80::1".parse().unwrap());
        change(&mut listener);
        rib.peer_up(PeerId(0), session(0, Sort::External));
        rib.peer_up(PeerId(1), listener);
        rib.receive(PeerId(0), &update(prefix, Some(sent))).unwrap();
        let mut heard = Listener::of(to);
        drain(&mut rib, 1, &mut heard);
        heard.routes.into_values().next().map(|told| told.next_hop)
    };
    let v6 = "2001:db8:1::/48";
    let ours = NextHop::V6WithLinkLocal(global, link_local);
    assert_eq!(hear(|_| (), Sort::External, v6, &sent), Some(ours));
    let unchanged = NextHop::V6("2001:db8::9".parse().unwrap());
    assert_eq!(hear(|_| (), Sort::Internal, v6, &sent), Some(unchanged));
    let v6_only = |session: &mut PeerSession| session.local.ipv4 = None;
    assert_eq!(hear(v6_only, Sort::External, PREFIX, &route([65000])), None);
    let extended = |session: &mut PeerSession| {
        session.local.ipv4 = None;
        session.extended_next_hop = true;
    };
    assert_eq!(
        hear(extended, Sort::External, PREFIX, &route([65000])),
        Some(ours)
    );
}

/// RFC 8654 §5 and RFC 4271 §9.2: what does not fit a message is not advertised; what was told before is withdrawn.
#[test]
fn attributes_that_fill_a_message_are_not_advertised() {
    let (mut rib, mut listener) = pair(Sort::External, Sort::External);
    rib.receive(PeerId(0), &update(PREFIX, Some(&route([65000]))))
        .unwrap();
    drain(&mut rib, 1, &mut listener);
    assert_eq!(listener.routes.len(), 1);
    let large = Attributes {
        communities: (0..1000).map(Community).collect(),
        ..route([65000])
    };
    rib.receive(PeerId(0), &update(PREFIX, Some(&large)))
        .unwrap();
    drain(&mut rib, 1, &mut listener);
    assert!(listener.routes.is_empty());
}

/// What import sets, export finds; and a tag is nothing that a peer sees.
#[test]
fn a_tag_goes_from_import_to_export() {
    use crate::policy::{
        Action, MatchConfig, Policies, PolicyConfig, RuleConfig, SetConfig, SetsConfig, Then,
    };
    let rule = |matches: MatchConfig, tag, then| RuleConfig {
        matches,
        set: SetConfig {
            tag,
            ..SetConfig::default()
        },
        then,
    };
    let policy = |name: &str, rule| PolicyConfig {
        name: name.to_owned(),
        default: Some(Action::Reject),
        rules: vec![rule],
    };
    let of_path = |asn: &str| MatchConfig {
        as_path_contains: vec![asn.to_owned()],
        ..MatchConfig::default()
    };
    let tagged = |tag: &str| MatchConfig {
        tag: vec![tag.to_owned()],
        ..MatchConfig::default()
    };
    let accept = || Then::Decide(Action::Accept);
    let mut marking = policy("in", rule(of_path("3"), Some(7), accept()));
    marking
        .rules
        .push(rule(MatchConfig::default(), None, accept()));
    let policies = [marking, policy("out", rule(tagged("7"), None, accept()))];
    let policies = Policies::compile(&SetsConfig::default(), &policies).unwrap();
    let chain = |name: &str| Some(policies.chain(&[name.to_owned()]).unwrap());
    let (import, export) = (chain("in"), chain("out"));
    let policies = Arc::new(policies);
    for (path, is_told) in [(vec![65000, 3], true), (vec![65000, 4], false)] {
        let (mut sender, mut listener) = (session(0, Sort::External), session(1, Sort::External));
        (sender.import, listener.export) = (import.clone(), export.clone());
        let mut rib = Rib::new(config());
        rib.set_policies(Arc::clone(&policies));
        rib.peer_up(PeerId(0), sender);
        rib.peer_up(PeerId(1), listener);
        rib.receive(PeerId(0), &update(PREFIX, Some(&route(path))))
            .unwrap();
        let row = rib.route(PREFIX.parse().unwrap()).unwrap();
        assert_eq!(row.paths[0].tag, if is_told { 7 } else { 0 });
        let mut heard = Listener::of(Sort::External);
        drain(&mut rib, 1, &mut heard);
        assert_eq!(heard.routes.len(), usize::from(is_told));
        // Told again without what earned it the tag: it is withdrawn.
        rib.receive(PeerId(0), &update(PREFIX, Some(&route([65000, 5]))))
            .unwrap();
        drain(&mut rib, 1, &mut heard);
        assert_eq!(heard.routes.len(), 0);
    }
}

/// `next-hop = "self"` on export is our address on the session; on import it would lead nowhere, and does nothing.
#[test]
fn policy_makes_ourselves_the_next_hop_of_what_is_told() {
    use crate::policy::{Action, Policies, PolicyConfig, RuleConfig, SetConfig, SetsConfig, Then};
    let policy = PolicyConfig {
        name: "self".to_owned(),
        default: None,
        rules: vec![RuleConfig {
            set: SetConfig {
                next_hop: Some("self".to_owned()),
                ..SetConfig::default()
            },
            then: Then::Decide(Action::Accept),
            ..RuleConfig::default()
        }],
    };
    let policies = Policies::compile(&SetsConfig::default(), &[policy]).unwrap();
    let chain = policies.chain(&["self".to_owned()]).unwrap();
    let policies = Arc::new(policies);
    let heard = |of_import: bool| {
        let (mut sender, mut listener) = (session(0, Sort::Client), session(1, Sort::Client));
        let peer = if of_import {
            &mut sender.import
        } else {
            &mut listener.export
        };
        *peer = Some(chain.clone());
        let mut rib = Rib::new(config());
        rib.set_policies(Arc::clone(&policies));
        rib.peer_up(PeerId(0), sender);
        rib.peer_up(PeerId(1), listener);
        let mut v6 = route([65000]);
        v6.next_hop = NextHop::V6("2001:db8::9".parse().unwrap());
        for (prefix, sent) in [(PREFIX, &route([65000])), ("2001:db8:5::/48", &v6)] {
            rib.receive(PeerId(0), &update(prefix, Some(sent))).unwrap();
        }
        let mut listener = Listener::of(Sort::Client);
        drain(&mut rib, 1, &mut listener);
        let hops = listener
            .routes
            .values()
            .map(|route| route.next_hop.addr().to_string());
        hops.collect::<Vec<_>>()
    };
    assert_eq!(heard(false), [OUR_ID.to_string(), "2001:db8::1".to_owned()]);
    let theirs = route([]).next_hop.addr().to_string();
    assert_eq!(heard(true), [theirs, "2001:db8::9".to_owned()]);
}

/// RFC 8326 §4.1: LOCAL_PREF of a path of another AS that carries GRACEFUL_SHUTDOWN is low, whatever policy set; in our
/// own AS it is what the peer says.
#[test]
fn what_another_as_shuts_down_is_preferred_to_nothing() {
    let mut sent = route([65000]);
    sent.communities.push(Community::GRACEFUL_SHUTDOWN);
    sent.local_pref = Some(300);
    assert_eq!(told(TO_IBGP, &sent).unwrap().local_pref, Some(0));
    let from_ibgp = (Sort::Internal, Sort::Client);
    assert_eq!(told(from_ibgp, &sent).unwrap().local_pref, Some(300));
    sent.communities.clear();
    assert_eq!(told(TO_IBGP, &sent).unwrap().local_pref, Some(100));
}

/// RFC 8326 §4.1: it is for import policy to say whose GRACEFUL_SHUTDOWN counts: what it takes out does not.
#[test]
fn import_policy_has_the_say_over_graceful_shutdown() {
    use crate::policy::{Action, Policies, PolicyConfig, RuleConfig, SetConfig, SetsConfig, Then};
    let set = SetConfig {
        local_pref: Some("200".to_owned()),
        ..SetConfig::default()
    };
    let mut cleaning = set.clone();
    cleaning.communities.remove = vec!["graceful-shutdown".to_owned()];
    for (set, expected) in [(set, 0), (cleaning, 200)] {
        let policy = PolicyConfig {
            name: "in".to_owned(),
            default: Some(Action::Accept),
            rules: vec![RuleConfig {
                set,
                then: Then::Decide(Action::Accept),
                ..RuleConfig::default()
            }],
        };
        let policies = Policies::compile(&SetsConfig::default(), &[policy]).unwrap();
        let mut sender = session(0, Sort::External);
        sender.import = Some(policies.chain(&["in".to_owned()]).unwrap());
        let mut rib = Rib::new(config());
        rib.set_policies(Arc::new(policies));
        rib.peer_up(PeerId(0), sender);
        let mut sent = route([65000]);
        sent.communities.push(Community::GRACEFUL_SHUTDOWN);
        rib.receive(PeerId(0), &update(PREFIX, Some(&sent)))
            .unwrap();
        let row = rib.route(PREFIX.parse().unwrap()).unwrap();
        assert_eq!(row.paths[0].attributes.local_pref, Some(expected));
        let steps = &rib.explain(PREFIX.parse().unwrap()).unwrap().candidates[0].policy;
        let says = steps.iter().any(|step| step.contains("RFC 8326"));
        assert_eq!(says, expected == 0, "{steps:?}");
    }
}

/// RFC 8326 §4.2: what we shut down carries GRACEFUL_SHUTDOWN, once, and LOCAL_PREF 0 in our AS; then it is withdrawn,
/// and what comes meanwhile is not told; when we stay after all, all is told as it is.
#[test]
fn a_drain_marks_all_routes_then_withdraws_them_and_can_be_called_off() {
    for sort in [Sort::External, Sort::Internal] {
        let (mut rib, mut heard) = pair(Sort::External, sort);
        let mut marked = route([65000]);
        marked.communities.push(Community::GRACEFUL_SHUTDOWN);
        let second = "198.51.100.0/24";
        for (prefix, route) in [(PREFIX, &route([65000])), (second, &marked)] {
            rib.receive(PeerId(0), &update(prefix, Some(route)))
                .unwrap();
        }
        drain(&mut rib, 1, &mut heard);
        let before = heard.routes.clone();
        let stage = |rib: &mut Rib, drain| {
            let mut listener = session(1, sort);
            listener.drain = drain;
            rib.update_peer(PeerId(1), listener);
        };
        stage(&mut rib, Drain::Announcing);
        drain(&mut rib, 1, &mut heard);
        assert_eq!(heard.routes.len(), 2);
        for told in heard.routes.values() {
            assert_eq!(told.communities[..], [Community::GRACEFUL_SHUTDOWN]);
            let internal = sort == Sort::Internal;
            assert_eq!(told.local_pref, internal.then_some(0));
        }
        assert_eq!(heard.withdrawals, 0);
        stage(&mut rib, Drain::Withdrawn);
        drain(&mut rib, 1, &mut heard);
        assert_eq!(heard.routes.len(), 0);
        let third = update("203.0.113.0/24", Some(&route([65000, 3])));
        rib.receive(PeerId(0), &third).unwrap();
        drain(&mut rib, 1, &mut heard);
        assert_eq!(heard.routes.len(), 0);
        let third = update("203.0.113.0/24", None);
        rib.receive(PeerId(0), &third).unwrap();
        stage(&mut rib, Drain::None);
        drain(&mut rib, 1, &mut heard);
        assert_eq!(heard.routes, before);
    }
}

fn stale_for_long() -> Attributes {
    let mut sent = route([65000]);
    sent.communities.push(Community::LLGR_STALE);
    sent
}

/// RFC 9494 §4.3: LLGR_STALE is for peers with the capability; §4.6: others of our AS get it with NO_EXPORT and LOCAL_PREF 0.
#[test]
fn who_does_not_know_llgr_stale_is_not_told_or_prefers_anything_else() {
    let sent = stale_for_long();
    assert_eq!(told(EBGP, &sent), None);
    let known = |sorts| told_with(sorts, &sent, |_, to| to.long_lived = true).unwrap();
    assert_eq!(known(EBGP).communities[..], [Community::LLGR_STALE]);
    assert_eq!(known(TO_IBGP).local_pref, Some(100));
    let partial = told(TO_IBGP, &sent).unwrap();
    assert_eq!(partial.local_pref, Some(0));
    let both = [Community::LLGR_STALE, Community::NO_EXPORT];
    assert_eq!(partial.communities[..], both);
}

/// RFC 9494 §4.3: LLGR_STALE is compared before all else.
#[test]
fn anything_is_preferred_to_what_is_stale_for_long() {
    let mut rib = Rib::new(config());
    rib.peer_up(PeerId(0), session(0, Sort::Internal));
    rib.peer_up(PeerId(1), session(1, Sort::Internal));
    let mut preferred = stale_for_long();
    preferred.local_pref = Some(500);
    let mut other = route([65000, 3, 4, 5]);
    other.local_pref = Some(1);
    rib.receive(PeerId(0), &update(PREFIX, Some(&preferred)))
        .unwrap();
    rib.receive(PeerId(1), &update(PREFIX, Some(&other)))
        .unwrap();
    let row = rib.route(PREFIX.parse().unwrap()).unwrap();
    assert_eq!(row.paths[0].peer, PeerId(1));
    assert!(row.paths[0].best);
}

/// RFC 9494 §4.2: a new import policy does not take LLGR_STALE off, and what the peer tells again is without it.
#[test]
fn what_is_kept_for_long_stays_marked_until_it_is_told_again() {
    let mut rib = Rib::new(config());
    rib.peer_up(PeerId(0), session(0, Sort::External));
    let sent = update(PREFIX, Some(&route([65000])));
    rib.receive(PeerId(0), &sent).unwrap();
    let both = PerFamily {
        ipv4: true,
        ipv6: true,
    };
    rib.peer_lost(PeerId(0), both);
    rib.keep_long(PeerId(0), Family::Ipv4Unicast);
    let is_marked = |rib: &mut Rib| {
        let row = rib.route(PREFIX.parse().unwrap()).unwrap();
        let communities = &row.paths[0].attributes.communities;
        (
            communities.contains(&Community::LLGR_STALE),
            row.paths[0].stale,
        )
    };
    assert_eq!(is_marked(&mut rib), (true, true));
    let mut other = session(0, Sort::External);
    other.allow_local_as = 1;
    rib.update_peer(PeerId(0), other.clone());
    assert_eq!(is_marked(&mut rib), (true, true));
    rib.peer_back(PeerId(0), other, both);
    assert_eq!(is_marked(&mut rib), (true, true));
    rib.receive(PeerId(0), &sent).unwrap();
    assert_eq!(is_marked(&mut rib), (false, false));
    rib.refresh_ended(PeerId(0), Family::Ipv4Unicast);
    assert_eq!(is_marked(&mut rib), (false, false));
}

/// RFC 9494 §4.3: LLGR_STALE is not removed when the route is told on, whatever policy has.
#[test]
fn policy_does_not_take_llgr_stale_off_what_is_told() {
    use crate::policy::{Action, Policies, PolicyConfig, RuleConfig, SetConfig, SetsConfig, Then};
    let mut set = SetConfig::default();
    set.communities.remove = vec!["llgr-stale".to_owned(), "65000:7".to_owned()];
    let policy = PolicyConfig {
        name: "out".to_owned(),
        default: None,
        rules: vec![RuleConfig {
            set,
            then: Then::Decide(Action::Accept),
            ..RuleConfig::default()
        }],
    };
    let policies = Policies::compile(&SetsConfig::default(), &[policy]).unwrap();
    let (sender, mut listener) = (session(0, Sort::External), session(1, Sort::External));
    listener.export = Some(policies.chain(&["out".to_owned()]).unwrap());
    listener.long_lived = true;
    let mut rib = Rib::new(config());
    rib.set_policies(Arc::new(policies));
    rib.peer_up(PeerId(0), sender);
    rib.peer_up(PeerId(1), listener);
    let mut sent = stale_for_long();
    sent.communities.push(Community(65000 << 16 | 7));
    rib.receive(PeerId(0), &update(PREFIX, Some(&sent)))
        .unwrap();
    let mut heard = Listener::of(Sort::External);
    drain(&mut rib, 1, &mut heard);
    let told = &heard.routes[&PREFIX.parse().unwrap()];
    assert_eq!(told.communities[..], [Community::LLGR_STALE]);
}
