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

/// RFC 8538 §3.1: "the error code, the error subcode and the data" of the NOTIFICATION follow.
#[test]
fn a_hard_reset_carries_what_was_meant() {
    let message = Some("back at noon".to_owned());
    let meant = Stop::Shutdown { message }.reset();
    let hard = hard_reset(&meant);
    assert_eq!(hard.code.numbers(), (6, 9));
    assert_eq!(hard.data.get(..2), Some(&[6, 2][..]));
    assert_eq!(hard.data.get(2..), Some(&meant.data[..]));
}

/// RFC 4724 §4.2: without the N bit, only a connection lost without a word keeps them. RFC 8538 §4: with it, all but a
/// full reset do, and an expired hold timer too.
#[test]
fn only_a_full_reset_costs_the_routes() {
    let told = |code: Code| End::Told(Notification::from(&Reset::from(code)));
    let gentle = [
        told(Code::AdministrativeShutdown),
        told(Code::HoldTimerExpired),
        End::Fault(Code::HoldTimerExpired.into()),
        End::Stopped(Stop::Reset { message: None }.reset()),
        End::Stopped(Stop::ConfigChange.reset()),
    ];
    let full = [
        told(Code::HardReset),
        End::Stopped(Stop::Shutdown { message: None }.reset()),
        End::Stopped(Stop::DeConfigured.reset()),
        End::Stopped(Stop::BfdDown.reset()),
    ];
    for end in &gentle {
        assert_eq!(
            (end.keeps_routes(true), end.keeps_routes(false)),
            (true, false)
        );
    }
    for end in &full {
        assert!(!end.keeps_routes(true), "{end:?}");
    }
    assert!(End::Lost.keeps_routes(false));
}
