//! Facts, and what is found in them.

use fib_netlink::wireguard::PeerKey;

use super::*;

fn subject() -> Subject {
    Subject {
        peer: PeerName::new("10.255.12.2".parse().unwrap(), None),
        path: LinkPath {
            remote: "10.255.12.2".parse().unwrap(),
            local: None,
            interface: Some("wg-nyc".to_owned()),
        },
        probed: true,
        families: PerFamily {
            ipv4: true,
            ipv6: true,
        },
    }
}

fn peer(number: u8, nets: &[&str]) -> TunnelPeer {
    TunnelPeer {
        allowed_ips: nets.iter().map(|net| net.parse().unwrap()).collect(),
        last_handshake: Some(Duration::from_secs(1_000)),
        ..TunnelPeer::new(PeerKey([number; 32]))
    }
}

/// A link on which nothing is wrong.
fn healthy() -> LinkFacts {
    LinkFacts {
        there: true,
        rp_filter: Some(0),
        forwarding: PerFamily {
            ipv4: Some(true),
            ipv6: Some(true),
        },
        tunnel: Some(Ok(vec![peer(1, &["0.0.0.0/0", "::/0"])])),
        missing: None,
        now: Duration::from_secs(1_060),
        probes: Some(Probes {
            largest: 1420,
            passed: 1420,
            clock: Some(Duration::from_millis(3)),
        }),
    }
}

fn announced() -> Vec<IpNet> {
    let all = ["10.101.0.0/16", "2001:db8:1::/48"];
    all.iter().map(|net| net.parse().unwrap()).collect()
}

/// What is not good, after `change`.
fn wrong(change: impl FnOnce(&mut LinkFacts)) -> Vec<(Check, Verdict, String)> {
    let mut facts = healthy();
    change(&mut facts);
    let findings = judge_link(&subject(), &facts, &announced());
    let bad = findings
        .into_iter()
        .filter(|finding| finding.verdict != Verdict::Good);
    bad.map(|finding| (finding.check, finding.verdict, finding.found))
        .collect()
}

#[test]
fn a_healthy_link_is_good_in_every_way() {
    assert_eq!(wrong(|_| {}), []);
    let findings = judge_link(&subject(), &healthy(), &announced());
    let checks: Vec<Check> = findings.iter().map(|finding| finding.check).collect();
    use Check::{AllowedIps, Clock, Forwarding, Handshake, Mtu, RpFilter};
    assert_eq!(
        checks,
        [
            AllowedIps, Handshake, RpFilter, Forwarding, Forwarding, Mtu, Clock
        ]
    );
}

#[test]
fn each_thing_that_is_wrong_is_found_and_nothing_else() {
    let only = |check: Check, verdict: Verdict, words: &str, change: fn(&mut LinkFacts)| {
        let found = wrong(change);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].0, found[0].1), (check, verdict));
        assert!(found[0].2.contains(words), "{found:?}");
    };
    use Verdict::{Bad, Unknown, Warning};
    only(Check::Device, Bad, "there is no wg-nyc", |f| {
        f.there = false
    });
    only(Check::RpFilter, Bad, "rp_filter is 1", |f| {
        f.rp_filter = Some(1)
    });
    only(Check::Forwarding, Bad, "IPv6", |f| {
        f.forwarding.ipv6 = Some(false)
    });
    only(Check::Handshake, Bad, "nothing passes", |f| {
        f.now = Duration::from_secs(1_181)
    });
    only(Check::AllowedIps, Bad, "3 prefixes", |f| {
        f.missing = Some(3)
    });
    only(Check::AllowedIps, Unknown, "no", |f| {
        f.tunnel = Some(Err("no".to_owned()))
    });
    only(Check::Mtu, Unknown, "answers no probe", |f| {
        f.probes = Some(Probes {
            largest: 1420,
            passed: 0,
            clock: None,
        });
    });
    only(Check::Mtu, Bad, "more than 1380 are swallowed", |f| {
        f.probes = Some(Probes {
            largest: 1420,
            passed: 1380,
            clock: None,
        });
    });
    only(Check::Clock, Warning, "120 s apart", |f| {
        f.probes = f.probes.map(|p| Probes {
            clock: Some(Duration::from_secs(120)),
            ..p
        });
    });
}

#[test]
fn what_allowed_ips_would_drop_is_found() {
    let found = |peers: Vec<TunnelPeer>| {
        let wrong = wrong(|facts| facts.tunnel = Some(Ok(peers)));
        wrong
            .into_iter()
            .map(|(_, _, found)| found)
            .collect::<Vec<_>>()
            .join("; ")
    };
    let tunnel = "10.255.12.2/32";
    assert!(found(vec![peer(1, &["10.101.0.0/16"])]).contains("no peer of wg-nyc has 10.255.12.2"));
    let one = found(vec![peer(1, &[tunnel, "10.0.0.0/8"])]);
    assert!(
        one.starts_with("1 of 2 prefixes") && one.contains("2001:db8:1::/48"),
        "{one}"
    );
    // Another peer has the prefix, or a part of it.
    let all = &[tunnel, "0.0.0.0/0", "::/0"];
    let other = found(vec![peer(1, all), peer(2, &["10.96.0.0/12"])]);
    assert!(
        other.contains("1 of 2") && other.contains("10.101.0.0/16"),
        "{other}"
    );
    let part = found(vec![peer(1, all), peer(2, &["10.101.7.0/24"])]);
    assert!(part.contains("10.101.0.0/16"), "{part}");
    assert_eq!(found(vec![peer(1, all), peer(2, &["10.102.0.0/16"])]), "");
    let never = found(vec![TunnelPeer {
        last_handshake: None,
        ..peer(1, all)
    }]);
    assert!(never.contains("never agreed on keys"), "{never}");
}

#[test]
fn settings_of_the_machine_matter_where_they_are_used() {
    let context = Context {
        multipath: 16,
        groups: true,
        families: PerFamily {
            ipv4: true,
            ipv6: false,
        },
        port: 862,
    };
    let facts = |policy: u8, compat: u8| HostFacts {
        hash_policy: PerFamily {
            ipv4: Some(policy),
            ipv6: Some(0),
        },
        compat_mode: Some(compat),
    };
    let wrong = |context: Context, facts: HostFacts| -> Vec<Check> {
        let findings = judge_host(&context, &facts);
        let wrong = findings
            .into_iter()
            .filter(|finding| finding.verdict != Verdict::Good);
        wrong.map(|finding| finding.check).collect()
    };
    assert_eq!(wrong(context, facts(1, 0)), []);
    assert_eq!(wrong(context, facts(0, 0)), [Check::HashPolicy]);
    assert_eq!(wrong(context, facts(1, 1)), [Check::CompatMode]);
    let single = Context {
        multipath: 1,
        groups: false,
        ..context
    };
    assert_eq!(wrong(single, facts(0, 1)), []);
    assert!(judge_host(&single, &facts(0, 1)).is_empty());
}
