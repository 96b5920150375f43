//! Each sentence of RFC 4271 §8.2.2 that something follows from, state by state; then §6.5 to §6.8 and §10.

use super::*;
use Side::{Incoming, Outgoing};

// Idle

/// "In this state, BGP FSM refuses all incoming BGP connections for this peer."
#[test]
fn idle_refuses_all_incoming_connections() {
    let mut one = One::new(config());
    let out = one.feed(Input::Connected(Incoming));
    assert_eq!(told_code(&out, Incoming), Some(Code::ConnectionRejected));
    assert_eq!(out.last(), Some(&Output::Close(Incoming)));
    assert_eq!((one.fsm.state(), one.fsm.deadline()), (State::Idle, None));
}

/// "In response to a ManualStart event, the local system [...] initiates a TCP connection to the other BGP peer,
/// listens for a connection that may be initiated by the remote BGP peer, and changes its state to Connect."
#[test]
fn a_start_initiates_a_tcp_connection_and_changes_the_state_to_connect() {
    let mut one = One::new(config());
    assert_eq!(one.feed(Input::Start), [Output::Connect]);
    assert_eq!(one.fsm.state(), State::Connect);
}

/// "In response to a ManualStart_with_PassiveTcpEstablishment event, the local system [...] listens for a
/// connection that may be initiated by the remote peer, and changes its state to Active."
#[test]
fn a_passive_start_changes_the_state_to_active_and_initiates_nothing() {
    let mut one = One::new(Config {
        passive: true,
        ..config()
    });
    assert_eq!(one.feed(Input::Start), []);
    assert_eq!(one.fsm.state(), State::Active);
    assert!(one.pass(Duration::from_secs(3600)).is_empty());
    one.feed(Input::Connected(Incoming));
    assert_eq!(one.fsm.state(), State::OpenSent);
    assert_eq!(one.fsm.deadline(), Some(one.now + Duration::from_secs(240)));
    one.feed(Input::Closed(Incoming));
    assert_eq!((one.fsm.state(), one.fsm.deadline()), (State::Active, None));
}

/// A peer that is passive no longer is called as soon as the driver says that time goes on.
#[test]
fn a_peer_that_is_passive_no_longer_is_called() {
    let mut one = One::started(Config {
        passive: true,
        ..config()
    });
    one.fsm.set_config(config());
    assert_eq!(one.feed(Input::Timeout), [Output::Connect]);
    assert_eq!(one.feed(Input::Timeout), []);
}

/// "The ManualStop event (Event 2) and AutomaticStop (Event 8) event are ignored in the Idle state."
#[test]
fn stops_are_ignored_in_idle() {
    let mut one = One::new(config());
    for stop in [
        Stop::Shutdown { message: None },
        Stop::Reset { message: None },
        Stop::ConfigChange,
        Stop::BfdDown,
    ] {
        assert_eq!(one.feed(Input::Stop(stop)), []);
        assert_eq!((one.fsm.state(), one.fsm.deadline()), (State::Idle, None));
    }
}

/// "Any other event received in the Idle state does not cause change in the state of the local system."
#[test]
fn any_other_event_does_not_change_idle() {
    let mut one = One::new(config());
    for input in [
        Input::ConnectFailed,
        Input::Received(Incoming, keepalive()),
        Input::Blocked(Outgoing),
        Input::Progress(Outgoing),
        Input::Fault(Code::InvalidOrigin.into()),
        Input::Closed(Outgoing),
        Input::Timeout,
    ] {
        assert_eq!(one.feed(input), []);
        assert_eq!(one.fsm.state(), State::Idle);
    }
}

/// "The method of preventing peer oscillation [...] IdleHoldTimer": after an error nobody is called for
/// IdleHoldTime, which doubles up to its limit; a session that lasted starts it over, however it ended.
#[test]
fn idle_hold_time_grows_to_its_limit_and_starts_over_after_a_good_session() {
    let mut one = One::started(config());
    let error = |one: &mut One| {
        let out = one.hear(Outgoing, notification(Code::UnsupportedCapability));
        assert!(matches!(down(&out), Some(End::Told(_))));
        assert_eq!(one.fsm.state(), State::Idle);
        let wait = one.wait().unwrap();
        assert_eq!(one.pass(wait), [Output::Connect]);
        wait
    };
    let within = |wait: Duration, secs: u32| {
        let most = Duration::from_secs(1) * secs;
        assert!(
            wait > most * 7 / 10 && wait <= most,
            "{wait:?} is not about {most:?}"
        );
    };
    for secs in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        one.feed(Input::Connected(Outgoing));
        within(error(&mut one), secs);
    }
    one.feed(Input::Connected(Outgoing));
    one.hear(Outgoing, their_open().encode());
    one.hear(Outgoing, keepalive());
    for _ in 0..4 {
        one.pass(Duration::from_secs(20));
        one.hear(Outgoing, keepalive());
    }
    assert_eq!(one.feed(Input::Closed(Outgoing)), [Output::Down(End::Lost)]);
    one.pass(FIRST_RETRY);
    one.feed(Input::Connected(Outgoing));
    within(error(&mut one), 1);
}

/// A peer that was mended while our own wait has grown long is let in when it calls.
#[test]
fn a_peer_that_calls_after_the_first_idle_hold_time_is_let_in() {
    let mut one = One::open_sent(config());
    for _ in 0..5 {
        one.hear(Outgoing, notification(Code::BadPeerAs));
        one.pass(one.wait().unwrap());
        one.feed(Input::Connected(Outgoing));
    }
    one.hear(Outgoing, notification(Code::BadPeerAs));
    let out = one.feed(Input::Connected(Incoming));
    assert_eq!(told_code(&out, Incoming), Some(Code::ConnectionRejected));
    one.pass(Duration::from_secs(1));
    assert_eq!(one.fsm.state(), State::Idle);
    one.feed(Input::Connected(Incoming));
    assert_eq!(one.fsm.state(), State::OpenSent);
}

// Connect and Active

/// "The start events (Events 1, 3-7) are ignored in the Connect state." And in all behind it.
#[test]
fn start_events_are_ignored_in_all_states_but_idle() {
    for mut one in [
        One::started(config()),
        One::open_sent(config()),
        One::open_confirm(config()),
        One::established(config()),
    ] {
        let before = (one.fsm.state(), one.fsm.deadline());
        assert_eq!(one.feed(Input::Start), []);
        assert_eq!((one.fsm.state(), one.fsm.deadline()), before);
    }
}

/// "In response to a ManualStop event (Event 2), the local system: drops the TCP connection, [...] stops the
/// ConnectRetryTimer and sets ConnectRetryTimer to zero, and changes its state to Idle."
#[test]
fn a_stop_in_connect_drops_the_connection_that_is_being_made() {
    let mut one = One::started(config());
    let out = one.feed(Input::Stop(Stop::Shutdown { message: None }));
    assert_eq!(out, [Output::Close(Outgoing)]);
    assert_eq!((one.fsm.state(), one.fsm.deadline()), (State::Idle, None));
    // It was too late to stop it.
    let out = one.feed(Input::Connected(Outgoing));
    assert_eq!(out.last(), Some(&Output::Close(Outgoing)));
    assert_eq!(one.feed(Input::Start), [Output::Connect]);
}

/// "In response to the ConnectRetryTimer_Expires event (Event 9), the local system: drops the TCP connection,
/// restarts the ConnectRetryTimer, [...] initiates a TCP connection to the other BGP peer, [...] and stays in the
/// Connect state."
#[test]
fn connect_retry_timer_in_connect_drops_the_connection_and_initiates_another() {
    let mut one = One::started(config());
    let wait = one.wait().unwrap();
    assert!(wait > Duration::from_millis(3700) && wait <= Duration::from_secs(5));
    assert_eq!(one.pass(wait), [Output::Close(Outgoing), Output::Connect]);
    assert_eq!(one.fsm.state(), State::Connect);
    assert!(one.fsm.deadline().is_some());
}

/// "If the TCP connection succeeds (Event 16 or Event 17), [...] the local system: stops the ConnectRetryTimer [...],
/// sends an OPEN message to its peer, sets the HoldTimer to a large value, and changes its state to OpenSent." "A
/// HoldTimer value of 4 minutes is suggested."
#[test]
fn a_connection_sends_open_and_sets_the_hold_timer_to_a_large_value() {
    for side in [Outgoing, Incoming] {
        let mut one = One::started(config());
        if side == Incoming {
            one.feed(Input::ConnectFailed);
            assert_eq!(one.fsm.state(), State::Active);
        }
        let out = one.feed(Input::Connected(side));
        let [Output::Send(to, bytes)] = &out[..] else {
            panic!("{out:?}");
        };
        assert_eq!(*to, side);
        let open = Open::decode(&bytes[header::LEN..]).unwrap();
        assert_eq!((open.asn, open.hold_time), (65001, 90));
        assert_eq!(open.identifier, config().identifier);
        assert_eq!(open.capabilities, config().capabilities);
        assert_eq!(one.fsm.state(), State::OpenSent);
        let out = one.pass(Duration::from_secs(4 * 60));
        assert_eq!(told_code(&out, side), Some(Code::HoldTimerExpired));
    }
}

/// "If the TCP connection fails (Event 18), [...] the local system: restarts the ConnectRetryTimer, continues to listen
/// for a connection that may be initiated by the remote BGP peer, and changes its state to Active."
#[test]
fn a_connection_that_fails_is_tried_again_each_time_later_up_to_connect_retry_time() {
    let mut one = One::started(config());
    for millis in [250, 500, 1000, 2000, 4000, 5000, 5000] {
        one.feed(Input::ConnectFailed);
        assert_eq!(one.fsm.state(), State::Active);
        let (wait, most) = (one.wait().unwrap(), Duration::from_millis(millis));
        assert!(wait >= most * 3 / 4 && wait <= most, "{wait:?}, {most:?}");
        // "In response to a ConnectRetryTimer_Expires event (Event 9), the local system: [...] initiates a TCP
        // connection to the other BGP peer, [...] and changes its state to Connect."
        assert_eq!(one.pass(wait), [Output::Connect]);
        assert_eq!(one.fsm.state(), State::Connect);
    }
    assert_eq!(one.fsm.counters().connects, 8);
}

/// A failure that nobody waits for, as of an attempt that was given up, does not put off the next.
#[test]
fn a_failure_of_an_attempt_that_was_given_up_changes_nothing() {
    let mut one = One::started(config());
    one.feed(Input::ConnectFailed);
    let before = one.fsm.deadline();
    one.feed(Input::ConnectFailed);
    assert_eq!(one.fsm.deadline(), before);
}

/// A peer that takes connections and closes them at once is called as rarely as one that takes none.
#[test]
fn connections_that_come_to_nothing_are_tried_again_each_time_later() {
    let mut one = One::started(config());
    for millis in [250, 500, 1000, 2000, 4000, 5000] {
        one.feed(Input::Connected(Outgoing));
        let out = one.feed(Input::Closed(Outgoing));
        assert_eq!(out, [Output::Down(End::Lost)]);
        let (wait, most) = (one.wait().unwrap(), Duration::from_millis(millis));
        assert!(wait >= most * 3 / 4 && wait <= most, "{wait:?}, {most:?}");
        one.pass(wait);
    }
}

/// After a session the peer is called soon again, however often it was in vain before.
#[test]
fn after_a_session_the_first_retry_is_soon() {
    let mut one = One::started(config());
    for _ in 0..8 {
        one.feed(Input::ConnectFailed);
        one.pass(one.wait().unwrap());
    }
    one.feed(Input::Connected(Outgoing));
    one.hear(Outgoing, their_open().encode());
    one.hear(Outgoing, keepalive());
    one.feed(Input::Closed(Outgoing));
    assert_eq!(one.pass(FIRST_RETRY), [Output::Connect]);
}

/// A smaller IdleHoldTime is in force for the wait after the next error.
#[test]
fn a_new_configuration_bounds_the_next_idle_hold_time() {
    let mut one = One::open_sent(config());
    for _ in 0..6 {
        one.hear(Outgoing, notification(Code::BadPeerAs));
        one.pass(one.wait().unwrap());
        one.feed(Input::Connected(Outgoing));
    }
    let most = Duration::from_secs(3);
    one.fsm.set_config(Config {
        idle_hold_max: most,
        ..config()
    });
    one.hear(Outgoing, notification(Code::BadPeerAs));
    assert!(one.wait().unwrap() <= most);
}

/// No configured time makes a busy loop.
#[test]
fn times_of_zero_do_not_make_a_busy_loop() {
    let zero = Duration::ZERO;
    let mut one = One::started(Config {
        connect_retry: zero,
        idle_hold: zero,
        idle_hold_max: zero,
        keepalive: Some(zero),
        ..config()
    });
    let calls = one.pass(Duration::from_secs(1));
    assert!(calls.len() < 20, "{}", calls.len());
    one.feed(Input::Connected(Outgoing));
    one.hear(Outgoing, notification(Code::BadPeerAs));
    assert!(one.wait().unwrap() > zero);
    one.pass(Duration::from_secs(1));
    one.feed(Input::Connected(Outgoing));
    one.hear(Outgoing, their_open().encode());
    one.hear(Outgoing, keepalive());
    assert!(one.pass(Duration::from_secs(10)).len() <= 10);
}

// OpenSent

/// "If a ManualStop event (Event 2) is issued in the OpenSent state, the local system: sends the NOTIFICATION with a
/// Cease, [...] drops the TCP connection, [...] and changes its state to Idle."
#[test]
fn a_stop_sends_a_cease_in_every_state_with_a_connection() {
    for mut one in [
        One::open_sent(config()),
        One::open_confirm(config()),
        One::established(config()),
    ] {
        let message = Some("back at noon".to_owned());
        let out = one.feed(Input::Stop(Stop::Shutdown { message }));
        let told = told(&out, Outgoing).unwrap();
        assert_eq!(told.meaning(), Some(Code::AdministrativeShutdown));
        assert_eq!(told.shutdown_communication(), Some("back at noon"));
        assert!(matches!(
            &out[..],
            [
                Output::Send(..),
                Output::Close(Outgoing),
                Output::Down(End::Stopped(_))
            ]
        ));
        assert_eq!((one.fsm.state(), one.fsm.deadline()), (State::Idle, None));
    }
}

/// RFC 4486 §3: the subcodes of Cease, and when the session comes back after each.
#[test]
fn each_stop_has_its_cease_subcode_and_its_way_back() {
    let minutes = Duration::from_secs(600);
    let limit = |restart| Stop::MaximumPrefixes {
        family: Family::Ipv6Unicast,
        limit: 0x0102_0304,
        restart,
    };
    let soon = Some(FIRST_RETRY);
    for (stop, code, back) in [
        (
            Stop::Reset { message: None },
            Code::AdministrativeReset,
            soon,
        ),
        (Stop::ConfigChange, Code::OtherConfigurationChange, soon),
        (Stop::BfdDown, Code::BfdDown, soon),
        (Stop::DeConfigured, Code::PeerDeConfigured, None),
        (limit(None), Code::MaximumPrefixes, None),
        (limit(Some(minutes)), Code::MaximumPrefixes, Some(minutes)),
    ] {
        let mut one = One::established(config());
        let out = one.feed(Input::Stop(stop));
        let told = told(&out, Outgoing).unwrap();
        assert_eq!(told.meaning(), Some(code));
        if code == Code::MaximumPrefixes {
            // RFC 4486 §4: AFI, SAFI, prefix upper bound.
            assert_eq!(told.data[..], [0, 2, 1, 1, 2, 3, 4]);
        }
        let Some(back) = back else {
            assert_eq!(one.fsm.deadline(), None);
            continue;
        };
        assert!(one.wait().unwrap() <= back && one.wait().unwrap() >= back * 3 / 4);
        assert_eq!(one.pass(back), [Output::Connect]);
    }
}

/// An order to begin anew ends the wait after an error, for the peer's calls too.
#[test]
fn a_reset_ends_idle_hold_time() {
    let mut one = One::open_sent(config());
    one.hear(Outgoing, notification(Code::BadPeerAs));
    one.feed(Input::Stop(Stop::Reset { message: None }));
    assert_eq!(one.fsm.state(), State::Active);
    one.feed(Input::Connected(Incoming));
    assert_eq!(one.fsm.state(), State::OpenSent);
}

/// "If the HoldTimer_Expires (Event 10), the local system: sends a NOTIFICATION message with the error code Hold Timer
/// Expired, [...] drops the TCP connection, [...] and changes its state to Idle." RFC 4271 §6.5 for Established.
#[test]
fn the_hold_timer_sends_hold_timer_expired_in_every_state_with_a_connection() {
    for (mut one, secs) in [
        (One::open_sent(config()), 240),
        (One::open_confirm(config()), 90),
        (One::established(config()), 90),
    ] {
        let out = one.pass(Duration::from_secs(secs) - MOMENT);
        assert_eq!(down(&out), None);
        let out = one.pass(MOMENT);
        assert_eq!(told_code(&out, Outgoing), Some(Code::HoldTimerExpired));
        assert!(matches!(down(&out), Some(End::Fault(_))));
    }
}

/// "If a TcpConnectionFails event (Event 18) is received, the local system: closes the BGP connection, restarts the
/// ConnectRetryTimer, continues to listen [...], and changes its state to Active."
#[test]
fn a_lost_connection_in_open_sent_restarts_connect_retry_timer_in_active() {
    let mut one = One::open_sent(config());
    assert_eq!(one.feed(Input::Closed(Outgoing)), [Output::Down(End::Lost)]);
    assert_eq!(one.fsm.state(), State::Active);
    assert_eq!(one.pass(FIRST_RETRY), [Output::Connect]);
}

/// "When an OPEN message is received, all fields are checked for correctness. If there are no errors in the OPEN
/// message (Event 19), the local system: [...] sends a KEEPALIVE message, and sets a KeepaliveTimer [...], sets the
/// HoldTimer according to the negotiated value, changes its state to OpenConfirm."
#[test]
fn an_open_is_answered_with_a_keepalive_and_sets_the_timers() {
    let mut one = One::open_sent(config());
    let open = Open {
        hold_time: 30,
        ..their_open()
    };
    let out = one.hear(Outgoing, open.encode());
    assert_eq!(out, [Output::Send(Outgoing, keepalive())]);
    assert_eq!(one.fsm.state(), State::OpenConfirm);
    let wait = one.wait().unwrap();
    assert!(wait >= Duration::from_millis(7500) && wait <= Duration::from_secs(10));
    let out = one.pass(Duration::from_secs(30));
    assert_eq!(told_code(&out, Outgoing), Some(Code::HoldTimerExpired));
}

/// "If the negotiated hold time value is zero, then the HoldTimer and KeepaliveTimer are not started", whichever end
/// said so.
#[test]
fn a_negotiated_hold_time_of_zero_starts_neither_timer() {
    for (ours, theirs) in [(0, 90), (90, 0), (0, 0)] {
        let mut one = One::open_sent(Config {
            hold_time: Duration::from_secs(ours),
            ..config()
        });
        let open = Open {
            hold_time: theirs,
            ..their_open()
        };
        one.hear(Outgoing, open.encode());
        one.hear(Outgoing, keepalive());
        assert_eq!(one.fsm.state(), State::Established);
        assert_eq!(one.fsm.deadline(), None);
        assert_eq!(one.fsm.session().unwrap().hold_time, None);
    }
}

/// "If the BGP message header checking (Event 21) or OPEN message checking detects an error (Event 22), the local
/// system: sends a NOTIFICATION message with the appropriate error code, [...] drops the TCP connection, [...] and
/// changes its state to Idle."
#[test]
fn faults_in_header_or_open_are_answered_with_their_code_and_data() {
    let open = |change: fn(&mut Open)| {
        let mut open = their_open();
        change(&mut open);
        open.encode()
    };
    let raw = |at: usize, value: u8| {
        let mut bytes = their_open().encode().to_vec();
        bytes[at] = value;
        Bytes::from(bytes)
    };
    for (bytes, code, data) in [
        (raw(3, 0), Code::ConnectionNotSynchronized, &[][..]),
        (
            raw(16, 0x20),
            Code::BadMessageLength,
            &[0x20, raw(0, 0xff)[17]][..],
        ),
        (raw(18, 9), Code::BadMessageType, &[9][..]),
        (raw(19, 3), Code::UnsupportedVersion, &[0, 4][..]),
        (
            open(|o| o.capabilities = capabilities(65003)),
            Code::BadPeerAs,
            &[][..],
        ),
        (
            open(|o| o.hold_time = 2),
            Code::UnacceptableHoldTime,
            &[][..],
        ),
        (raw(24, 0), Code::BadBgpIdentifier, &[][..]),
    ] {
        // The identifier becomes zero only with all its octets.
        let bytes = if code == Code::BadBgpIdentifier {
            open(|o| o.identifier = Ipv4Addr::UNSPECIFIED)
        } else {
            bytes
        };
        let mut one = One::open_sent(config());
        let out = one.hear(Outgoing, bytes);
        let told = told(&out, Outgoing).unwrap();
        assert_eq!((told.meaning(), &told.data[..]), (Some(code), data));
        assert!(matches!(
            &out[..],
            [
                Output::Send(..),
                Output::Close(Outgoing),
                Output::Down(End::Fault(_))
            ]
        ));
        assert_eq!(one.fsm.state(), State::Idle);
    }
}

/// "If a NOTIFICATION message is received [...], the local system: [...] drops the TCP connection, [...] and changes
/// its state to Idle." §6.4: it is answered with none, not even one that is malformed.
#[test]
fn a_notification_is_not_answered() {
    for mut one in [
        One::open_sent(config()),
        One::open_confirm(config()),
        One::established(config()),
    ] {
        let out = one.hear(Outgoing, notification(Code::UnsupportedVersion));
        assert!(matches!(
            &out[..],
            [Output::Close(Outgoing), Output::Down(End::Told(_))]
        ));
        assert_eq!(one.fsm.state(), State::Idle);
        assert_eq!(one.fsm.counters().notifications_received, 1);
        assert_eq!(one.fsm.counters().notifications_sent, 0);
    }
}

/// After a Cease that no error is behind, the peer is called again soon: it may be back at once.
#[test]
fn a_cease_without_an_error_does_not_hold() {
    for code in [
        Code::AdministrativeShutdown,
        Code::AdministrativeReset,
        Code::PeerDeConfigured,
        Code::ConnectionRejected,
        Code::OtherConfigurationChange,
        Code::ConnectionCollisionResolution,
        Code::HardReset,
        Code::BfdDown,
    ] {
        let mut one = One::established(config());
        one.hear(Outgoing, notification(code));
        assert_eq!(one.fsm.state(), State::Active, "{code:?}");
        assert_eq!(one.pass(FIRST_RETRY), [Output::Connect]);
    }
}

/// RFC 6608 §3: a message that the state has no word for has a subcode of the state and the type as data; RFC 4271:
/// "In response to any other event, the local system: sends the NOTIFICATION with the Error Code Finite State Machine
/// Error, [...] and changes its state to Idle."
#[test]
fn unexpected_messages_are_finite_state_machine_errors_of_the_state() {
    let (open, refresh) = (their_open().encode(), message(5, &[0, 1, 0, 1]));
    type Make = fn(Config) -> One;
    for (make, messages, code) in [
        (
            One::open_sent as Make,
            vec![keepalive(), update(), refresh.clone()],
            Code::UnexpectedInOpenSent,
        ),
        (
            One::open_confirm,
            vec![open.clone(), update(), refresh],
            Code::UnexpectedInOpenConfirm,
        ),
        (One::established, vec![open], Code::UnexpectedInEstablished),
    ] {
        for message in messages {
            let mut one = make(config());
            let out = one.hear(Outgoing, message.clone());
            let told = told(&out, Outgoing).unwrap();
            assert_eq!(told.meaning(), Some(code));
            assert_eq!(told.data[..], message[18..19]);
            assert_eq!(one.fsm.state(), State::Idle);
        }
    }
}

// OpenConfirm

/// "If the KeepaliveTimer_Expires event (Event 11) occurs, the local system: sends a KEEPALIVE message, restarts the
/// KeepaliveTimer, and remains in the OpenConfirm state." Established likewise.
#[test]
fn the_keepalive_timer_sends_a_keepalive_and_starts_again() {
    for mut one in [One::open_confirm(config()), One::established(config())] {
        let state = one.fsm.state();
        let out = one.pass(Duration::from_secs(89));
        assert!(matches!(out.len(), 2..=3), "{}", out.len());
        assert!(
            out.iter()
                .all(|o| *o == Output::Send(Outgoing, keepalive()))
        );
        assert_eq!(one.fsm.state(), state);
    }
}

/// "If the local system receives a KEEPALIVE message (KeepAliveMsg (Event 26)), the local system: restarts the HoldTimer
/// and changes its state to Established."
#[test]
fn a_keepalive_in_open_confirm_restarts_the_hold_timer_and_establishes() {
    let mut one = One::open_confirm(config());
    one.pass(Duration::from_secs(80));
    let out = one.hear(Outgoing, keepalive());
    let [Output::Up(session)] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(Some(&**session), one.fsm.session());
    assert_eq!(one.fsm.state(), State::Established);
    assert_eq!(down(&one.pass(Duration::from_secs(89))), None);
}

// Established

/// "If the local system receives an UPDATE message (UpdateMsg (Event 27)), the local system: [...] restarts its HoldTimer,
/// if the negotiated HoldTime value is non-zero." A KEEPALIVE likewise.
#[test]
fn updates_and_keepalives_restart_the_hold_timer() {
    for message in [update(), keepalive()] {
        let mut one = One::established(config());
        for _ in 0..5 {
            assert_eq!(down(&one.pass(Duration::from_secs(80))), None);
            one.hear(Outgoing, message.clone());
        }
        assert_eq!(one.fsm.state(), State::Established);
    }
}

/// "If the local system receives an UPDATE message, and the UPDATE message error handling procedure [...] detects an error
/// (Event 28), the local system: sends a NOTIFICATION message with an Update error, [...] drops the TCP connection,
/// [...] and changes its state to Idle."
#[test]
fn a_fault_in_an_update_ends_the_session() {
    let mut one = One::established(config());
    let fault = Reset {
        code: Code::MalformedAttributeList,
        data: Bytes::from_static(b"why"),
    };
    let out = one.feed(Input::Fault(fault.clone()));
    assert_eq!(
        out,
        [
            Output::Send(Outgoing, fault.encode()),
            Output::Close(Outgoing),
            Output::Down(End::Fault(fault.clone())),
        ]
    );
    assert_eq!(one.fsm.state(), State::Idle);
    assert_eq!(one.feed(Input::Fault(fault)), []);
}

/// A ROUTE-REFRESH of a family or a kind that was not agreed on is ignored (RFC 2918 §4, RFC 7313 §5).
#[test]
fn refreshes_that_were_not_agreed_on_are_ignored() {
    let mut one = One::established(config());
    let out = one.hear(Outgoing, message(5, &[0, 1, 0, 1]));
    assert!(matches!(&out[..], [Output::Refresh(_)]));
    for body in [
        [0, 2, 0, 1],
        [0, 1, 0, 128],
        [0, 1, 1, 1],
        [0, 1, 2, 1],
        [0, 1, 77, 1],
    ] {
        assert_eq!(one.hear(Outgoing, message(5, &body)), []);
    }
    let out = one.hear(Outgoing, message(5, &[0, 1, 0]));
    assert_eq!(told_code(&out, Outgoing), Some(Code::BadMessageLength));
}

/// RFC 9687 §3: "SendHoldTimer_Expires": the peer that reads nothing for SendHoldTime is let go, though it sends.
#[test]
fn a_peer_that_does_not_read_for_send_hold_time_is_let_go() {
    let mut one = One::established(config());
    one.feed(Input::Blocked(Outgoing));
    let mut out = Vec::new();
    for _ in 0..7 {
        out = one.pass(Duration::from_secs(60));
        // Nor is anything added to what waits already.
        assert_eq!(out, []);
        one.hear(Outgoing, keepalive());
    }
    out.extend(one.pass(Duration::from_secs(60)));
    assert!(
        matches!(down(&out), Some(End::Fault(reset)) if reset.code == Code::SendHoldTimerExpired)
    );
    assert!(out.contains(&Output::Close(Outgoing)));
}

/// A slow reader is none that does not read.
#[test]
fn progress_restarts_the_send_hold_timer() {
    let mut one = One::established(config());
    for _ in 0..30 {
        one.feed(Input::Blocked(Outgoing));
        assert_eq!(down(&one.pass(Duration::from_secs(60))), None);
        one.hear(Outgoing, keepalive());
        one.feed(Input::Progress(Outgoing));
    }
    assert_eq!(one.fsm.state(), State::Established);
}

// §6.8

fn with_identifier(last: u8) -> Config {
    Config {
        identifier: Ipv4Addr::new(10, 0, 0, last),
        ..config()
    }
}

/// "The BGP Identifier of the local system is compared to the BGP Identifier of the remote system [...]. If the value of
/// the local BGP Identifier is less than the remote one, the local system closes the BGP connection that already exists
/// [...] and accepts the BGP connection initiated by the remote system. Otherwise, the local system closes the newly
/// created BGP connection."
#[test]
fn of_two_connections_that_of_the_larger_identifier_stays() {
    for (identifier, loser) in [(1, Outgoing), (3, Incoming)] {
        for order in [[Outgoing, Incoming], [Incoming, Outgoing]] {
            let mut one = One::started(with_identifier(identifier));
            one.feed(Input::Connected(Incoming));
            one.feed(Input::Connected(Outgoing));
            assert_eq!(one.hear(order[0], their_open().encode()).len(), 1);
            let out = one.hear(order[1], their_open().encode());
            assert_eq!(
                told_code(&out, loser),
                Some(Code::ConnectionCollisionResolution)
            );
            assert_eq!(out.last(), Some(&Output::Close(loser)));
            assert_eq!(down(&out), None);
            let winner = loser.other();
            assert!(matches!(
                &one.hear(winner, keepalive())[..],
                [Output::Up(_)]
            ));
            assert_eq!(one.fsm.session().unwrap().side, winner);
        }
    }
}

/// RFC 6286 §2.3: "If the BGP Identifiers of the peers involved in the connection collision are identical, then the
/// connection initiated by the BGP speaker with the larger AS number is preserved."
#[test]
fn with_equal_identifiers_the_connection_of_the_larger_as_number_stays() {
    let mut one = One::started(with_identifier(2));
    one.feed(Input::Connected(Incoming));
    one.feed(Input::Connected(Outgoing));
    one.hear(Outgoing, their_open().encode());
    let out = one.hear(Incoming, their_open().encode());
    assert_eq!(
        told_code(&out, Outgoing),
        Some(Code::ConnectionCollisionResolution)
    );
}

/// "a connection collision with an existing BGP connection that is in the Established state causes closing of the newly
/// created connection."
#[test]
fn beside_an_established_session_a_new_connection_loses() {
    for identifier in [1, 3] {
        let mut one = One::established(with_identifier(identifier));
        let out = one.feed(Input::Connected(Incoming));
        assert_eq!(
            told_code(&out, Incoming),
            Some(Code::ConnectionCollisionResolution)
        );
        assert_eq!(out.last(), Some(&Output::Close(Incoming)));
        assert_eq!(one.fsm.state(), State::Established);
    }
}

/// A connection that has not brought its OPEN loses against one that gets Established.
#[test]
fn a_connection_without_an_open_does_not_stop_the_other() {
    let mut one = One::open_sent(config());
    one.feed(Input::Connected(Incoming));
    one.hear(Incoming, their_open().encode());
    let out = one.hear(Incoming, keepalive());
    assert_eq!(
        told_code(&out, Outgoing),
        Some(Code::ConnectionCollisionResolution)
    );
    assert!(matches!(out.last(), Some(Output::Up(_))));
}

/// The peer's connection won while ours was being made: ours is given up, and nothing of it is left once the
/// session ends.
#[test]
fn a_connection_being_made_is_given_up_when_the_other_has_its_open() {
    let mut one = One::started(config());
    one.feed(Input::Connected(Incoming));
    let out = one.hear(Incoming, their_open().encode());
    assert!(out.contains(&Output::Close(Outgoing)));
    one.hear(Incoming, keepalive());
    assert_eq!(one.feed(Input::Closed(Incoming)), [Output::Down(End::Lost)]);
    assert_eq!(one.fsm.state(), State::Active);
    assert_eq!(one.pass(FIRST_RETRY), [Output::Connect]);
}

/// A peer that connects and says nothing does not keep us from calling it.
#[test]
fn a_silent_connection_of_the_peer_does_not_stop_ours() {
    let mut one = One::started(config());
    one.feed(Input::ConnectFailed);
    one.feed(Input::Connected(Incoming));
    assert_eq!(one.pass(Duration::from_secs(5)), [Output::Connect]);
}

/// An error on the last connection ends all there is, an attempt under way too.
#[test]
fn an_error_gives_up_the_connection_being_made() {
    let mut one = One::started(config());
    one.feed(Input::Connected(Incoming));
    let out = one.hear(Incoming, notification(Code::BadPeerAs));
    assert!(out.contains(&Output::Close(Outgoing)));
    assert!(matches!(down(&out), Some(End::Told(_))));
    assert_eq!(one.fsm.state(), State::Idle);
}

// §10 and §4.4

/// "the value of the timer is the configured one multiplied by a random value, uniformly distributed in the range from
/// 0.75 to 1.0."
#[test]
fn jitter_is_between_three_quarters_and_all_of_the_time() {
    let mut chance = Chance::new(3);
    let second = Duration::from_secs(1);
    let mut all: Vec<_> = (0..10_000).map(|_| chance.jitter(second)).collect();
    all.sort();
    assert!(all[0] >= second * 3 / 4 && all[0] < second * 76 / 100);
    assert!(all[9_999] <= second && all[9_999] > second * 99 / 100);
    let median = all[5_000];
    assert!(median > second * 86 / 100 && median < second * 89 / 100);
}

/// "KEEPALIVE messages MUST NOT be sent more frequently than one per second."
#[test]
fn keepalives_are_at_least_a_second_apart() {
    let mut one = One::open_sent(Config {
        keepalive: Some(Duration::from_millis(100)),
        ..config()
    });
    let open = Open {
        hold_time: 3,
        ..their_open()
    };
    one.hear(Outgoing, open.encode());
    for _ in 0..20 {
        one.hear(Outgoing, keepalive());
        let (wait, before) = (one.wait().unwrap(), one.fsm.counters().sent);
        assert!(wait >= Duration::from_secs(1));
        one.pass(wait);
        assert_eq!(one.fsm.counters().sent, before + 1);
    }
}

// Framing

/// Messages are slices of the chunk they came in; one that straddles two chunks comes whole.
#[test]
fn messages_are_slices_of_their_chunk_and_straddling_ones_are_whole() {
    let mut one = One::established(config());
    let body: Vec<u8> = (0..40).collect();
    let stream: Bytes = [
        message(2, &body),
        keepalive(),
        message(2, &body[4..]),
        message(2, &body),
    ]
    .concat()
    .into();
    let bodies = |out: &[Output]| -> Vec<Bytes> {
        out.iter()
            .map(|o| {
                let Output::Update(body) = o else {
                    panic!("{o:?}");
                };
                body.clone()
            })
            .collect()
    };
    let expected: [&[u8]; 3] = [&body, &body[4..], &body];
    let whole = stream.as_ptr_range();
    let got = bodies(&one.hear(Outgoing, stream.clone()));
    assert_eq!(got, expected);
    assert!(got.iter().all(|b| whole.contains(&b.as_ptr())));
    for cut in 0..=stream.len() {
        let (a, b) = (stream.slice(..cut), stream.slice(cut..));
        let mut out = one.hear(Outgoing, a);
        out.extend(one.hear(Outgoing, b));
        let got = bodies(&out);
        assert_eq!(got, expected, "cut at {cut}");
        // At most the one that lies across the cut was copied.
        let copied = got.iter().filter(|b| !whole.contains(&b.as_ptr())).count();
        assert!(copied <= 1, "cut at {cut}");
    }
    for byte in 0..stream.len() {
        let out = one.hear(Outgoing, stream.slice(byte..=byte));
        assert!(out.len() <= 1);
    }
    assert_eq!(
        one.fsm.counters().updates_received,
        3 * (stream.len() as u64 + 3)
    );
}

/// RFC 8654 §4: messages beyond 4096 octets are taken where both ends have offered it, and nowhere else.
#[test]
fn long_messages_are_taken_where_both_offered_them() {
    let long = message(2, &[0; 5000]);
    let mut one = One::established(config());
    assert!(matches!(
        &one.hear(Outgoing, long.clone())[..],
        [Output::Update(_)]
    ));
    let mut capabilities = capabilities(65001);
    capabilities.retain(|c| *c != Capability::ExtendedMessage);
    let mut one = One::established(Config {
        capabilities,
        ..config()
    });
    let out = one.hear(Outgoing, long);
    assert_eq!(told_code(&out, Outgoing), Some(Code::BadMessageLength));
}

/// Of thousands of idle peers each costs about a kilobyte, with what the two OPENs offer.
#[test]
fn an_idle_peer_is_small() {
    let all = size_of::<Fsm>() + size_of::<Session>();
    assert!(all <= 704, "{all}");
}
