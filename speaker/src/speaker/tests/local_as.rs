//! Who we are to a peer that knows us by another AS number.

use super::*;
use crate::config::LocalAs;

const OTHER: u32 = 65_100;

/// Two speakers; the first is `OTHER` to the second, who believes that it is `believed`.
fn pair(local: LocalAs, believed: u32) -> Net {
    let (mut first, mut second) = (config(0, &[1]), config(1, &[0]));
    first.peers[0].options.local_as = Some(local);
    first.originate.push(originate("198.51.100.0/24"));
    second.originate.push(originate("203.0.113.0/24"));
    second.peers[0].asn = believed;
    let mut net = Net::new(vec![first, second]);
    net.run(60);
    net
}

fn local(dual_as: bool) -> LocalAs {
    LocalAs {
        asn: OTHER,
        no_prepend: true,
        replace_as: true,
        dual_as,
    }
}

/// The AS_PATH of the one route that a host heard.
fn path(net: &mut Net, host: usize, prefix: &str) -> String {
    let query = RouteQuery {
        prefix: Some(net_of(prefix)),
        ..RouteQuery::default()
    };
    let page = net.speakers[host].routes(&query, None, 1).unwrap();
    page.routes[0].paths[0].attributes.as_path.to_string()
}

#[test]
fn a_local_as_is_all_that_the_peer_sees_unless_it_is_to_see_the_router_s_too() {
    let mut net = pair(local(false), OTHER);
    net.assert_up(0, 1);
    assert_eq!(path(&mut net, 1, "198.51.100.0/24"), "65100");
    assert_eq!(path(&mut net, 0, "203.0.113.0/24"), "65002");
    let both = LocalAs {
        no_prepend: false,
        replace_as: false,
        ..local(false)
    };
    let mut net = pair(both, OTHER);
    assert_eq!(path(&mut net, 1, "198.51.100.0/24"), "65100 65001");
    assert_eq!(path(&mut net, 0, "203.0.113.0/24"), "65100 65002");
}

#[test]
fn a_peer_that_knows_us_by_either_as_gets_its_session() {
    for believed in [OTHER, 65_001] {
        let mut net = pair(local(true), believed);
        net.assert_up(0, 1);
        let told = path(&mut net, 1, "198.51.100.0/24");
        assert_eq!(told, believed.to_string());
    }
    // Without dual-as, it is `OTHER` or nothing.
    let net = pair(local(false), 65_001);
    assert_ne!(net.peer(0, 1).state, State::Established);
}

#[test]
fn another_local_as_is_another_session_and_the_first_of_the_two_again() {
    let mut net = pair(local(true), 65_001);
    let mut first = config(0, &[1]);
    let other = LocalAs {
        no_prepend: false,
        ..local(true)
    };
    first.peers[0].options.local_as = Some(other);
    assert_eq!(net.configure(0, first.clone()).restarted, 1);
    net.run(60);
    net.assert_up(0, 1);
    assert_eq!(net.configure(0, first).restarted, 0);
    assert_eq!(net.peer(0, 1).established_count, 2);
}

#[test]
fn path_rules_change_without_a_session_s_notice() {
    let mut net = pair(local(false), OTHER);
    let mut first = config(0, &[1]);
    first.originate.push(originate("198.51.100.0/24"));
    first.peers[0].options.local_as = Some(local(false));
    first.peers[0].options.as_override = true;
    first.peers[0].options.remove_private_as = rib::peer::PrivateAs::Remove;
    let changes = net.configure(0, first);
    assert_eq!((changes.restarted, changes.updated), (0, 1));
    net.assert_up(0, 1);
}
