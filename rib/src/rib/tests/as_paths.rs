//! What becomes of AS_PATH on the way in and out beyond the plain rule (RFC 7705, RFC 6996).

use super::*;
use crate::policy::{
    Action, MatchConfig, PolicyConfig, PrependConfig, RuleConfig, SetConfig, SetsConfig, Then,
};

const PREFIX: &str = "192.0.2.0/24";
/// We, as some peers know us.
const LOCAL: u32 = 64_998;
/// The listener's AS.
const PEER: u32 = 65_001;
const REMOVE: AsPathRules = AsPathRules {
    private: PrivateAs::Remove,
    ..NOTHING
};
const REPLACE: AsPathRules = AsPathRules {
    private: PrivateAs::Replace,
    ..NOTHING
};
const OVERRIDE: AsPathRules = AsPathRules {
    override_peer: true,
    ..NOTHING
};
const NOTHING: AsPathRules = AsPathRules {
    inbound: None,
    outbound: None,
    private: PrivateAs::Keep,
    override_peer: false,
};

/// The path that an external listener gets of `path`, with sessions that are changed first.
fn path_with(path: &str, change: impl Fn(&mut PeerSession, &mut PeerSession)) -> Option<String> {
    let (mut sender, mut listener) = (session(0, Sort::External), session(1, Sort::External));
    change(&mut sender, &mut listener);
    let mut rib = Rib::new(config());
    rib.peer_up(PeerId(0), sender);
    rib.peer_up(PeerId(1), listener);
    let sent = Attributes {
        as_path: path.parse().unwrap(),
        ..route([])
    };
    rib.receive(PeerId(0), &update(PREFIX, Some(&sent)))
        .unwrap();
    let mut heard = Listener::of(Sort::External);
    drain(&mut rib, 1, &mut heard);
    let told = heard.routes.remove(&PREFIX.parse().unwrap());
    told.map(|told| told.as_path.to_string())
}

#[track_caller]
fn assert_path(sent: &str, rules: AsPathRules, told: &str) {
    let path = path_with(sent, |_, to| to.as_path = rules);
    assert_eq!(path.as_deref(), Some(told), "{sent} {rules:?}");
}

/// RFC 7705 §3.3: "The BGP router SHOULD first append the globally configured ASN to the AS_PATH immediately followed by
/// the \"Local AS\" value"; with "Replace Old AS" it "MUST append only the configured \"Local AS\" ASN value".
#[test]
fn a_local_as_stands_before_the_router_s_or_alone() {
    let local = |outbound| {
        path_with("65000 3", |_, to| {
            to.local_asn = LOCAL;
            to.as_path.outbound = outbound;
        })
    };
    assert_eq!(local(None).as_deref(), Some("64998 65000 3"));
    let both = format!("64998 {OURS} 65000 3");
    assert_eq!(local(Some(OURS)), Some(both));
}

/// RFC 7705 §3.3: inbound, the "Local AS" is put before the path, but with "No Prepend Inbound" it "MUST NOT" be, and the
/// router's own AS number is there for others as always.
#[test]
fn a_local_as_is_put_before_what_the_peer_tells_unless_it_is_not_to_be() {
    let from = |inbound| {
        path_with("65000 3", |from, _| {
            from.local_asn = LOCAL;
            from.as_path.inbound = inbound;
        })
    };
    assert_eq!(from(Some(LOCAL)), Some(format!("{OURS} 64998 65000 3")));
    assert_eq!(from(None), Some(format!("{OURS} 65000 3")));
}

/// What we put there is no loop; what the peer sends of it is.
#[test]
fn our_own_local_as_is_no_loop_and_another_one_is() {
    for (path, allowed, passes) in [
        ("65000 3", 0, true),
        ("65000 64998", 0, false),
        ("65000 64998", 1, true),
        ("65000 64998 64998", 1, false),
    ] {
        for inbound in [None, Some(LOCAL)] {
            let told = path_with(path, |from, _| {
                from.local_asn = LOCAL;
                from.as_path.inbound = inbound;
                from.allow_local_as = allowed;
            });
            assert_eq!(told.is_some(), passes, "{path} {allowed} {inbound:?}");
        }
    }
}

/// RFC 6996 §4: AS numbers for private use are taken out before routes go where they mean nothing.
#[test]
fn private_as_numbers_are_removed_or_replaced() {
    let all = "64511 64512 65000 65534 65535 4200000000 4294967294 3";
    assert_path(all, NOTHING, &format!("{OURS} {all}"));
    assert_path(all, REMOVE, &format!("{OURS} 64511 65535 3"));
    let ours = format!("{OURS} 64511 {OURS} {OURS} {OURS} 65535 {OURS} {OURS} 3");
    assert_path(all, REPLACE, &ours);
    // Nothing but private ones.
    assert_path("64512 64513", REMOVE, &OURS.to_string());
    assert_path("64512 64513", REPLACE, &format!("{OURS} {OURS} {OURS}"));
}

/// A peer of a private AS must see that a route has been with it.
#[test]
fn the_peer_s_own_private_as_stays_unless_it_is_overridden() {
    let path = format!("64512 {PEER} 3");
    assert_path(&path, REMOVE, &format!("{OURS} {PEER} 3"));
    assert_path(&path, REPLACE, &format!("{OURS} {OURS} {PEER} 3"));
    let both = AsPathRules {
        override_peer: true,
        ..REMOVE
    };
    assert_path(&path, both, &format!("{OURS} {OURS} 3"));
}

/// The sites of a customer that has one AS number everywhere hear each other.
#[test]
fn the_peer_s_as_is_overridden_wherever_it_stands() {
    let path = format!("{PEER} {PEER} 3 {PEER}");
    assert_path(&path, OVERRIDE, &format!("{OURS} {OURS} {OURS} 3 {OURS}"));
    assert_path("65000 3", OVERRIDE, &format!("{OURS} 65000 3"));
}

/// What stands for us is the AS number that the peer knows us by.
#[test]
fn a_local_as_takes_the_place_of_others_too() {
    let path = path_with(&format!("64512 {PEER}"), |_, to| {
        to.local_asn = LOCAL;
        to.as_path = AsPathRules {
            override_peer: true,
            ..REPLACE
        };
    });
    assert_eq!(path.as_deref(), Some("64998 64998 64998"));
}

/// What policy prepends on the way out is meant for the peer.
#[test]
fn what_export_policy_prepends_stays() {
    let rule = RuleConfig {
        set: SetConfig {
            prepend: Some(PrependConfig {
                asn: Some(64_512),
                count: Some(2),
            }),
            ..SetConfig::default()
        },
        matches: MatchConfig::default(),
        then: Then::Decide(Action::Accept),
    };
    let policy = PolicyConfig {
        name: "out".to_owned(),
        default: None,
        rules: vec![rule],
    };
    let policies = Arc::new(Policies::compile(&SetsConfig::default(), &[policy]).unwrap());
    let mut rib = Rib::new(config());
    rib.set_policies(Arc::clone(&policies));
    let mut listener = session(1, Sort::External);
    listener.as_path = REMOVE;
    listener.export = Some(policies.chain(&["out".to_owned()]).unwrap());
    rib.peer_up(PeerId(0), session(0, Sort::External));
    rib.peer_up(PeerId(1), listener);
    rib.receive(PeerId(0), &update(PREFIX, Some(&route([65000, 3]))))
        .unwrap();
    let mut heard = Listener::of(Sort::External);
    drain(&mut rib, 1, &mut heard);
    let told = &heard.routes[&PREFIX.parse().unwrap()];
    assert_eq!(told.as_path.to_string(), format!("{OURS} 64512 64512 3"));
}

/// RFC 4271 §5.1.2 a: an internal peer gets the path as it is, whatever else is configured.
#[test]
fn an_internal_peer_gets_the_path_as_it_is() {
    let mut rib = Rib::new(config());
    let mut listener = session(1, Sort::Internal);
    listener.as_path = AsPathRules {
        override_peer: true,
        ..REMOVE
    };
    rib.peer_up(PeerId(0), session(0, Sort::External));
    rib.peer_up(PeerId(1), listener);
    rib.receive(PeerId(0), &update(PREFIX, Some(&route([65000, 64512]))))
        .unwrap();
    let mut heard = Listener::of(Sort::Internal);
    drain(&mut rib, 1, &mut heard);
    let told = &heard.routes[&PREFIX.parse().unwrap()];
    assert_eq!(told.as_path.to_string(), "65000 64512");
}

/// A change takes effect in place, and peers with unlike rules are not told alike.
#[test]
fn rules_are_part_of_the_update_group_and_change_in_place() {
    let mut rib = Rib::new(config());
    rib.peer_up(PeerId(0), session(0, Sort::External));
    let mut second = session(2, Sort::External);
    second.as_path = REMOVE;
    rib.peer_up(PeerId(1), session(1, Sort::External));
    rib.peer_up(PeerId(2), second.clone());
    rib.receive(PeerId(0), &update(PREFIX, Some(&route([65000, 3]))))
        .unwrap();
    let (mut plain, mut removed) = (Listener::of(Sort::External), Listener::of(Sort::External));
    drain(&mut rib, 1, &mut plain);
    drain(&mut rib, 2, &mut removed);
    let path = |heard: &Listener| {
        let told = &heard.routes[&PREFIX.parse().unwrap()];
        told.as_path.to_string()
    };
    assert_eq!(path(&plain), format!("{OURS} 65000 3"));
    assert_eq!(path(&removed), format!("{OURS} 3"));
    second.as_path = NOTHING;
    rib.update_peer(PeerId(2), second);
    drain(&mut rib, 2, &mut removed);
    assert_eq!(path(&removed), format!("{OURS} 65000 3"));
    drain(&mut rib, 1, &mut plain);
    assert_eq!(path(&plain), format!("{OURS} 65000 3"));
}
