//! Whatever a driver says, in whatever order: no panic, and no need to be woken but at the deadline.

use proptest::prelude::*;

use super::*;
use crate::command::PeerCommand;

#[derive(Clone, Debug)]
enum Noise {
    Accept(usize),
    Bytes(u64, Vec<u8>),
    /// What the peer once said, cut somewhere.
    Said(u64, usize),
    Connected(u64),
    Failed(u64),
    Blocked(u64),
    Progress(u64),
    Closed(u64),
    Overrun,
    Command(usize, PeerCommand),
    Configure(Vec<usize>),
    Wait(u64),
    Shutdown,
}

fn noise() -> impl Strategy<Value = Noise> {
    let conn = || 0..12u64;
    let command = prop_oneof![
        Just(PeerCommand::Enable),
        Just(PeerCommand::Disable(None)),
        Just(PeerCommand::Reset(None)),
        Just(PeerCommand::Refresh(None)),
    ];
    prop_oneof![
        1 => (1..5usize).prop_map(Noise::Accept),
        1 => (conn(), prop::collection::vec(any::<u8>(), 0..64)).prop_map(|(c, b)| Noise::Bytes(c, b)),
        4 => (conn(), 0..200usize).prop_map(|(c, n)| Noise::Said(c, n)),
        1 => conn().prop_map(Noise::Connected),
        1 => conn().prop_map(Noise::Failed),
        1 => conn().prop_map(Noise::Blocked),
        1 => conn().prop_map(Noise::Progress),
        1 => conn().prop_map(Noise::Closed),
        1 => Just(Noise::Overrun),
        1 => (0..5usize, command).prop_map(|(peer, command)| Noise::Command(peer, command)),
        1 => prop::collection::vec(1..4usize, 0..3).prop_map(Noise::Configure),
        1 => (0..100_000u64).prop_map(Noise::Wait),
        1 => Just(Noise::Shutdown),
    ]
}

/// An OPEN, a KEEPALIVE, an End-of-RIB and a NOTIFICATION.
fn said() -> Vec<u8> {
    let mut all = Vec::new();
    let mut message = |kind: u8, body: &[u8]| {
        all.extend([0xff; 16]);
        all.extend(u16::try_from(19 + body.len()).unwrap().to_be_bytes());
        all.push(kind);
        all.extend(body);
    };
    message(1, &[4, 0xfd, 0xea, 0, 90, 192, 0, 2, 2, 0]);
    message(4, &[]);
    message(2, &[0, 0, 0, 0]);
    message(3, &[6, 2]);
    all
}

fn play(speaker: &mut Speaker, now: &mut Instant, noise: Noise, out: &mut Vec<Effect>) {
    let id = ConnId;
    let event = match noise {
        Noise::Accept(peer) => {
            let remote = SocketAddr::new(address(peer), 40_000);
            speaker.accept(*now, SocketAddr::new(address(0), 179), remote, None, out);
            return;
        }
        Noise::Command(peer, command) => {
            let _ = speaker.peer_command(*now, &name(peer), command, out);
            return;
        }
        Noise::Configure(peers) => {
            let _ = speaker.configure(*now, config(0, &peers), out);
            return;
        }
        Noise::Wait(millis) => {
            *now += Duration::from_millis(millis);
            Event::Timeout
        }
        Noise::Bytes(conn, data) => Event::Received {
            conn: id(conn),
            data: data.into(),
        },
        Noise::Said(conn, len) => {
            let said = said();
            let data = said.get(..len).unwrap_or(&said).to_vec().into();
            Event::Received {
                conn: id(conn),
                data,
            }
        }
        Noise::Connected(conn) => Event::Connected {
            conn: id(conn),
            local: SocketAddr::new(address(0), 40_001),
        },
        Noise::Failed(conn) => Event::ConnectFailed {
            conn: id(conn),
            why: String::new(),
        },
        Noise::Blocked(conn) => Event::Blocked { conn: id(conn) },
        Noise::Progress(conn) => Event::Progress { conn: id(conn) },
        Noise::Closed(conn) => Event::Closed { conn: id(conn) },
        Noise::Overrun => Event::Kernel(fib_netlink::Input::Overrun),
        Noise::Shutdown => Event::Shutdown,
    };
    speaker.handle(*now, event, out);
}

fn speaker(now: Instant) -> Speaker {
    let mut ours = config(0, &[1, 2]);
    ours.ranges.push(PeerRange {
        prefix: net_of("192.0.2.0/24"),
        asns: Vec::new(),
        limit: 2,
        options: options(),
    });
    ours.originate.push(originate("198.51.100.0/24"));
    Speaker::new(ours, now, 3).unwrap()
}

proptest! {
    #[test]
    fn noise_never_panics_and_time_goes_on(noises in prop::collection::vec(noise(), 0..80)) {
        let mut now = Instant::now();
        let mut speaker = speaker(now);
        let mut out = Vec::new();
        speaker.start(now, &mut out);
        for noise in noises {
            play(&mut speaker, &mut now, noise, &mut out);
            let mut ready = Vec::new();
            speaker.ready(&mut ready);
            for conn in ready {
                speaker.transmit(conn, 4096, &mut Vec::new());
            }
            speaker.handle(now, Event::Timeout, &mut out);
            speaker.handle(now, Event::Timeout, &mut out);
            prop_assert!(speaker.deadline().is_none_or(|at| at > now), "it asks for a time that is past");
        }
    }
}

/// Two runs of the same events: one is woken at its deadline, the other each millisecond.
#[test]
fn to_be_woken_at_the_deadline_is_enough() {
    let start = Instant::now();
    let tell = |each_millisecond: bool| {
        let (mut now, mut trace) = (start, Vec::new());
        let mut speaker = speaker(start);
        let mut out = Vec::new();
        speaker.start(now, &mut out);
        let events = [
            (5u64, Noise::Accept(1)),
            (700, Noise::Said(3, 48)),
            (9_000, Noise::Accept(3)),
            (40_000, Noise::Shutdown),
        ];
        let mut events = events.into_iter().peekable();
        let end = start + Duration::from_secs(50);
        while now < end {
            let due = |(at, _): &(u64, Noise)| start + Duration::from_millis(*at) <= now;
            match events.next_if(due) {
                Some((_, noise)) => play(&mut speaker, &mut now, noise, &mut out),
                None => speaker.handle(now, Event::Timeout, &mut out),
            }
            trace.extend(out.drain(..).map(|effect| format!("{effect:?}")));
            let next = events
                .peek()
                .map_or(end, |(at, _)| start + Duration::from_millis(*at));
            let wake = speaker.deadline().map_or(next, |at| at.min(next));
            now = if each_millisecond {
                wake.min(now + Duration::from_millis(1))
            } else {
                wake
            };
        }
        trace
    };
    assert_eq!(tell(false), tell(true));
}
