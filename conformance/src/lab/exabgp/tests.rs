//! What ExaBGP's API prints.

use super::*;

#[test]
fn an_update_is_read() {
    let update = r#"{"attribute": {"origin": "igp", "as-path": [65001, [65002, 65003]], "med": 33,
        "community": [[65535, 65281], [65001, 100]], "extended-community": [{"value": 842127122628613,
        "string": "target:65001:5"}], "large-community": [[65001, 1, 2]]},
        "announce": {"ipv4 unicast": {"192.0.2.1": [{"nlri": "10.1.0.0/16"}]}},
        "withdraw": {"ipv4 unicast": [{"nlri": "10.2.0.0/16"}]}}"#;
    let update: Value = serde_json::from_str(update).unwrap();
    assert!(withdraws(&update, "10.2.0.0/16"));
    assert!(!withdraws(&update, "10.1.0.0/16"));
    assert_eq!(announces(&update, "10.2.0.0/16"), None);
    let path = read(&update, announces(&update, "10.1.0.0/16").unwrap());
    assert_eq!(path.next_hop, "192.0.2.1");
    assert_eq!(path.as_path, [65001, 65002, 65003]);
    assert_eq!((path.med, path.local_pref), (Some(33), None));
    let communities: Vec<_> = path.communities.iter().map(String::as_str).collect();
    assert_eq!(communities, ["65001:100", "no-export"]);
    assert!(path.large_communities.contains("65001:1:2"));
    assert!(path.ext_communities.contains("rt:65001:5"));
}
