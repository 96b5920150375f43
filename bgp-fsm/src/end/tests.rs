//! What the peer is told, and what a person reads.

use super::*;

/// RFC 9003 §2: "The length value MUST be in the range from 0 to 255": words beyond are cut, at a character.
#[test]
fn words_are_cut_to_what_fits() {
    let message = Some("ü".repeat(200));
    for stop in [
        Stop::Shutdown {
            message: message.clone(),
        },
        Stop::Reset { message },
    ] {
        let told = Notification::from(&stop.reset());
        assert_eq!(told.shutdown_communication(), Some(&*"ü".repeat(127)));
    }
    let silent = Stop::Shutdown { message: None }.reset();
    assert!(silent.data.is_empty());
}

/// A person reads who ended it, the class, the name and the numbers; and the peer's words without control characters.
#[test]
fn an_end_reads_as_a_sentence() {
    let told = Reset::with_communication(Code::AdministrativeShutdown, "back\nat noon");
    for (end, text) in [
        (End::Lost, "the connection was lost"),
        (
            End::Fault(Code::HoldTimerExpired.into()),
            "we found: Hold Timer Expired (4/0)",
        ),
        (
            End::Stopped(Code::PeerDeConfigured.into()),
            "we ended it: Cease/Peer De-configured (6/3)",
        ),
        (
            End::Told(Notification::from(&told)),
            "the peer said: Cease/Administrative Shutdown (6/2): \"back\\nat noon\"",
        ),
        (
            End::Told(Notification {
                code: 99,
                subcode: 1,
                data: Bytes::new(),
            }),
            "the peer said: unknown error (99/1)",
        ),
    ] {
        assert_eq!(end.to_string(), text);
    }
}
