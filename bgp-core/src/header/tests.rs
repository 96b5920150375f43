//! RFC 4271 §4.1 and §6.1, RFC 8654.

use super::*;

fn bytes(len: u16, kind: u8, body: usize) -> Vec<u8> {
    let mut out = MARKER.to_vec();
    out.extend(len.to_be_bytes());
    out.push(kind);
    out.resize(LEN + body, 0);
    out
}

fn reset(bytes: &[u8], max: usize) -> (Code, Vec<u8>) {
    let reset = next_frame(bytes, max).unwrap_err();
    (reset.code, reset.data.to_vec())
}

#[test]
fn each_message_is_split_off_once_all_of_it_has_come() {
    let mut stream = keepalive().to_vec();
    stream.extend(bytes(23, 2, 4));
    let first = next_frame(&stream, MAX).unwrap().unwrap();
    assert_eq!(
        (first.kind, first.len, first.body.len()),
        (Kind::Keepalive, 19, 0)
    );
    let rest = &stream[first.len..];
    for partial in 0..rest.len() {
        assert!(next_frame(&rest[..partial], MAX).unwrap().is_none());
    }
    let second = next_frame(rest, MAX).unwrap().unwrap();
    assert_eq!(
        (second.kind, second.len, second.body),
        (Kind::Update, 23, &[0; 4][..])
    );
}

// RFC 4271 §4.1: "This 16-octet field is included for compatibility; it MUST be set to all ones."
#[test]
fn a_marker_that_is_not_all_ones_is_connection_not_synchronized() {
    for at in 0..16 {
        let mut message = keepalive().to_vec();
        message[at] = 0xfe;
        assert_eq!(
            reset(&message, MAX),
            (Code::ConnectionNotSynchronized, vec![])
        );
    }
}

// RFC 4271 §4.1: "The value of the Length field MUST always be at least 19 and no greater than 4096".
#[test]
fn the_length_is_at_least_19_and_at_most_4096() {
    for len in [0, 18, 4097, u16::MAX] {
        let shown = len.to_be_bytes().to_vec();
        assert_eq!(
            reset(&bytes(len, 2, 0), MAX),
            (Code::BadMessageLength, shown)
        );
    }
}

// RFC 4271 §6.1: "if the Length field of an OPEN message is less than the minimum length of the OPEN message" and so on.
#[test]
fn the_length_is_at_least_the_minimum_of_the_type() {
    for (kind, least) in [(1, 29), (2, 23), (3, 21), (4, 19)] {
        let short = bytes(least - 1, kind, 40);
        assert_eq!(reset(&short, MAX).0, Code::BadMessageLength, "type {kind}");
        let enough = bytes(least, kind, usize::from(least) - LEN);
        assert!(next_frame(&enough, MAX).unwrap().is_some(), "type {kind}");
    }
    assert_eq!(
        reset(&bytes(20, 4, 1), MAX),
        (Code::BadMessageLength, vec![0, 20])
    );
}

// RFC 4271 §6.1: "If the Type field of the message header is not recognized, then the Error Subcode MUST be set to
// Bad Message Type. The Data field MUST contain the erroneous Type field."
#[test]
fn an_unrecognized_type_is_bad_message_type() {
    for kind in [0, 6, 255] {
        assert_eq!(
            reset(&bytes(30, kind, 11), MAX),
            (Code::BadMessageType, vec![kind])
        );
    }
}

// RFC 8654 §4: "the maximum message size ... is extended to 65,535 octets for all messages except for OPEN and KEEPALIVE".
#[test]
fn extended_messages_are_long_but_for_open_and_keepalive() {
    for kind in [2, 3, 5] {
        let frame = bytes(u16::MAX, kind, 65535 - LEN);
        let frame = next_frame(&frame, MAX_EXTENDED).unwrap().unwrap();
        assert_eq!(frame.len, MAX_EXTENDED);
    }
    assert_eq!(
        reset(&bytes(4097, 1, 0), MAX_EXTENDED).0,
        Code::BadMessageLength
    );
    assert_eq!(
        reset(&bytes(4097, 4, 0), MAX_EXTENDED).0,
        Code::BadMessageLength
    );
}
