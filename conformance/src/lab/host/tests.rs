//! What `ip -N -d -j` prints, with `net.ipv4.nexthop_compat_mode` off and on.

use super::*;

const NEXTHOPS: &str = r#"[
    {"id":1,"gateway":"192.0.2.2","dev":"v0","scope":"link","protocol":"bgp","flags":[]},
    {"id":2,"gateway":"192.0.2.3","dev":"v1","scope":"link","flags":[]},
    {"id":3,"gateway":"2001:db8::9","dev":"v0","scope":"link","flags":[]},
    {"id":10,"group":[{"id":1},{"id":2,"weight":5}],"flags":[]}]"#;

fn hops(route: &str) -> Vec<String> {
    let nexthops: Vec<IpNexthop> = serde_json::from_str(NEXTHOPS).unwrap();
    let route: IpRoute = serde_json::from_str(route).unwrap();
    let route = route.resolve(&nexthops).unwrap();
    assert_eq!(route.protocol, 186);
    let hops = route.next_hops.into_iter();
    let text = |hop: NextHop| {
        let gateway = hop.gateway.unwrap_or_default();
        format!("{gateway} {} {}", hop.device, hop.weight)
    };
    hops.map(text).collect()
}

#[test]
fn a_group_is_its_members() {
    let bare = r#"{"type":"1","dst":"10.1.0.0/16","nhid":10,"protocol":"186"}"#;
    assert_eq!(hops(bare), ["192.0.2.2 v0 1", "192.0.2.3 v1 5"]);
    let told = r#"{"dst":"10.1.0.0/16","nhid":10,"protocol":"186","nexthops":[
        {"gateway":"192.0.2.2","dev":"v0","weight":1},{"gateway":"192.0.2.3","dev":"v1","weight":5}]}"#;
    assert_eq!(hops(told), hops(bare));
}

#[test]
fn a_gateway_may_be_of_the_other_family() {
    let bare = r#"{"dst":"10.3.0.0/16","nhid":3,"protocol":"186"}"#;
    assert_eq!(hops(bare), ["2001:db8::9 v0 1"]);
    let told = r#"{"dst":"10.3.0.0/16","nhid":3,"protocol":"186","dev":"v0",
        "via":{"family":"inet6","host":"2001:db8::9"}}"#;
    assert_eq!(hops(told), hops(bare));
}

#[test]
fn routes_of_the_kernel_itself_are_left_out() {
    let route = r#"{"dst":"192.0.2.0/24","dev":"v0","protocol":"2"}"#;
    let route: IpRoute = serde_json::from_str(route).unwrap();
    assert_eq!(route.resolve(&[]), None);
}
