//! The state machine against RFC 4271 §8: one end alone, two ends, and noise.

mod noise;
mod pair;
mod states;

use std::net::Ipv4Addr;

use bgp_core::family::PerFamily;
use bgp_core::{Capability, Family, Notification, Open, header};
use bytes::{BufMut as _, BytesMut};

use super::*;
use crate::config::PeerAs;

/// Shorter than any timer in these tests.
const MOMENT: Duration = Duration::from_millis(1);

fn config() -> Config {
    Config {
        local_asn: 65001,
        identifier: Ipv4Addr::new(10, 0, 0, 1),
        peer_asn: PeerAs::Exactly(65002),
        hold_time: Duration::from_secs(90),
        keepalive: None,
        connect_retry: Duration::from_secs(5),
        idle_hold: Duration::from_secs(1),
        idle_hold_max: Duration::from_secs(60),
        send_hold: Some(Duration::from_secs(480)),
        passive: false,
        capabilities: capabilities(65001),
        families: PerFamily {
            ipv4: true,
            ipv6: false,
        },
        strict_role: false,
    }
}

fn capabilities(asn: u32) -> Vec<Capability> {
    vec![
        Capability::Multiprotocol(Family::Ipv4Unicast.into()),
        Capability::RouteRefresh,
        Capability::ExtendedMessage,
        Capability::FourOctetAs(asn),
    ]
}

impl Chance {
    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        let mut number = 0;
        for _ in 0..4 {
            // Eight random bits each.
            let part = self.jitter(Duration::from_nanos(1024)).as_nanos() - 768;
            number = number << 8 | u64::try_from(part).unwrap();
        }
        number % limit.max(1)
    }
}

/// What the peer of [`config`] says.
fn their_open() -> Open {
    Open {
        asn: 65002,
        hold_time: 90,
        identifier: Ipv4Addr::new(10, 0, 0, 2),
        capabilities: capabilities(65002),
    }
}

fn message(kind: u8, body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(&[0xff; 16]);
    out.put_u16(u16::try_from(header::LEN + body.len()).unwrap());
    out.put_u8(kind);
    out.put_slice(body);
    out.freeze()
}

fn keepalive() -> Bytes {
    header::keepalive()
}

/// Withdraws nothing, announces nothing.
fn update() -> Bytes {
    message(2, &[0; 4])
}

fn notification(code: Code) -> Bytes {
    Reset::from(code).encode()
}

/// One state machine and its clock.
struct One {
    fsm: Fsm,
    now: Instant,
}

#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    Instant::now()
}

impl One {
    fn new(config: Config) -> Self {
        Self {
            fsm: Fsm::new(config, 7),
            now: epoch(),
        }
    }

    fn started(config: Config) -> Self {
        let mut one = Self::new(config);
        one.feed(Input::Start);
        one
    }

    fn open_sent(config: Config) -> Self {
        let mut one = Self::started(config);
        one.feed(Input::Connected(Side::Outgoing));
        assert_eq!(one.fsm.state(), State::OpenSent);
        one
    }

    fn open_confirm(config: Config) -> Self {
        let mut one = Self::open_sent(config);
        one.hear(Side::Outgoing, their_open().encode());
        assert_eq!(one.fsm.state(), State::OpenConfirm);
        one
    }

    fn established(config: Config) -> Self {
        let mut one = Self::open_confirm(config);
        one.hear(Side::Outgoing, keepalive());
        assert_eq!(one.fsm.state(), State::Established);
        one
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.fsm.handle(self.now, input, &mut out);
        out
    }

    fn hear(&mut self, side: Side, bytes: Bytes) -> Vec<Output> {
        self.feed(Input::Received(side, bytes))
    }

    /// Lets `span` pass, woken at deadlines alone.
    fn pass(&mut self, span: Duration) -> Vec<Output> {
        let end = self.now + span;
        let mut out = Vec::new();
        while let Some(at) = self.fsm.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            out.extend(self.feed(Input::Timeout));
            let next = self.fsm.deadline();
            assert!(next.is_none_or(|next| next > self.now), "it spins");
        }
        self.now = end;
        out
    }

    /// What stands until the next deadline.
    fn wait(&self) -> Option<Duration> {
        self.fsm.deadline().map(|at| at - self.now)
    }
}

/// The NOTIFICATION among these.
fn told(out: &[Output], side: Side) -> Option<Notification> {
    out.iter().find_map(|output| {
        let Output::Send(to, bytes) = output else {
            return None;
        };
        let (_, body) = bytes.split_at_checked(header::LEN)?;
        let told = *to == side && bytes.get(18) == Some(&3);
        told.then(|| Notification::decode(body).unwrap())
    })
}

fn told_code(out: &[Output], side: Side) -> Option<Code> {
    told(out, side).and_then(|told| told.meaning())
}

fn down(out: &[Output]) -> Option<&End> {
    let Some(Output::Down(end)) = out.last() else {
        return None;
    };
    Some(end)
}
