//! What `birdc` prints.

use super::*;

#[test]
fn show_route_all_is_read() {
    let text = "BIRD 2.0.12 ready.\nTable master4:\n\
        10.3.0.0/16          unicast [p 09:35:15.349] * (100) [AS65003?]\n\
        \tvia 192.0.2.2 on eth0\n\tType: BGP univ\n\tBGP.origin: Incomplete\n\
        \tBGP.as_path: 65002 {65003 65004}\n\tBGP.next_hop: 2001:db8::2 fe80::2\n\tBGP.med: 7\n\
        \tBGP.atomic_aggr: \n\tBGP.aggregator: 192.0.3.3 AS65003\n\
        \tBGP.community: (65535,65281) (65001,100)\n\tBGP.ext_community: (rt, 65001, 5)\n\
        \tBGP.large_community: (65001, 1, 2)\n\
        \x20                    unicast [q 09:35:15.349] (100) [AS65003?]\n\tBGP.origin: IGP\n";
    let paths = parse(text);
    assert_eq!(paths.len(), 2);
    let best = &paths[0];
    assert_eq!(best.origin, "incomplete");
    assert_eq!(best.as_path, [65002, 65003, 65004]);
    assert_eq!(best.next_hop, "2001:db8::2");
    assert_eq!(best.med, Some(7));
    assert_eq!(best.aggregator.as_deref(), Some("65003 192.0.3.3"));
    assert!(best.atomic_aggregate);
    assert!(best.communities.contains("no-export"));
    assert!(best.communities.contains("65001:100"));
    assert!(best.ext_communities.contains("rt:65001:5"));
    assert!(best.large_communities.contains("65001:1:2"));
    assert_eq!(paths[1].origin, "igp");
}
