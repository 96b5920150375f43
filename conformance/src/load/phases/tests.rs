//! What `ip` says of groups.

use super::*;

#[test]
fn members_of_a_group_are_counted_with_and_without_weights() {
    let said = "id 30 group 1/2/3 proto bgp \nid 31 group 9";
    assert_eq!(members(said), 3);
    assert_eq!(members("id 30 group 1,5/2,10 proto bgp"), 2);
    assert_eq!(members("id 1 via 10.99.1.1 dev device0 scope link"), 0);
    assert_eq!(after("20.0.0.0/24 nhid 30 proto bgp", "nhid"), Some("30"));
}
