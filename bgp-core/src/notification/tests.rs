//! RFC 4271 §4.5, RFC 9003.

use super::*;

fn round(reset: &Reset) -> Notification {
    let bytes = reset.encode();
    let frame = header::next_frame(&bytes, header::MAX).unwrap().unwrap();
    assert_eq!(frame.kind, Kind::Notification);
    Notification::decode(frame.body).unwrap()
}

#[test]
fn every_code_comes_back_as_itself() {
    for code in Code::ALL {
        let notification = round(&Reset {
            code: *code,
            data: Bytes::from_static(b"why"),
        });
        assert_eq!(notification.meaning(), Some(*code));
        assert_eq!(&notification.data[..], b"why");
    }
}

#[test]
fn the_operators_words_travel() {
    let reset = Reset::with_communication(Code::AdministrativeShutdown, "back at noon ☀");
    let notification = round(&reset);
    assert_eq!(
        notification.shutdown_communication(),
        Some("back at noon ☀")
    );
    assert_eq!(
        notification.to_string(),
        "Administrative Shutdown (6/2): back at noon ☀"
    );
    assert!(
        Reset::with_communication(Code::HoldTimerExpired, "words")
            .data
            .is_empty()
    );
}

// RFC 9003 §2: the communication is at most 255 octets, of UTF-8.
#[test]
fn long_words_are_cut_between_characters() {
    let reset = Reset::with_communication(Code::AdministrativeReset, &"é".repeat(200));
    assert_eq!(reset.data.len(), 1 + 254);
    assert_eq!(
        round(&reset).shutdown_communication(),
        Some("é".repeat(127).as_str())
    );
}

#[test]
fn words_nobody_can_read_are_no_words() {
    for data in [&b"\x05no"[..], b"\x02\xff\xfe", b"\x00", b""] {
        let notification = Notification {
            code: 6,
            subcode: 2,
            data: Bytes::copy_from_slice(data),
        };
        assert_eq!(notification.shutdown_communication(), None);
    }
    assert!(Notification::decode(&[6]).is_err());
}

#[test]
fn numbers_and_control_characters_are_shown_safely() {
    let unknown = Notification {
        code: 99,
        subcode: 7,
        data: Bytes::new(),
    };
    assert_eq!(unknown.to_string(), "unknown error (99/7)");
    let nasty = Notification::from(&Reset::with_communication(
        Code::AdministrativeReset,
        "a\nb\x1b",
    ));
    assert_eq!(
        nasty.to_string(),
        "Administrative Reset (6/4): a\\nb\\u{1b}"
    );
}
