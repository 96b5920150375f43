//! What the kernel says, and what it could never say.

use proptest::prelude::*;

use super::*;

#[test]
fn an_answer_gives_its_error_number() {
    let mut octets = vec![36, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 0];
    octets.extend_from_slice(&(-17_i32).to_ne_bytes());
    octets.extend_from_slice(&[0; 16]);
    let message = messages(&octets).next().unwrap();
    assert_eq!(
        (message.kind, message.sequence, message.port, message.errno),
        (NLMSG_ERROR, 9, 7, 17)
    );
}

proptest! {
    #[test]
    fn noise_does_not_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(messages(&octets).count() <= octets.len());
    }

    #[test]
    fn noise_in_a_nexthop_does_not_panic(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = nexthop(&octets);
    }
}
