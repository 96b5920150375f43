//! Noise: anything may come in any order. And deadlines: nothing is due before them.

use super::*;

const SEEDS: u64 = 3000;
const STEPS: u64 = 60;

/// What a driver knows, and what must hold of all that it is told.
#[derive(Default)]
struct Driver {
    open: [bool; 2],
    calling: bool,
    up: bool,
}

impl Driver {
    fn place(side: Side) -> usize {
        match side {
            Side::Outgoing => 0,
            Side::Incoming => 1,
        }
    }

    fn take(&mut self, out: &[Output]) {
        for output in out {
            match output {
                Output::Connect => {
                    assert!(!self.calling && !self.open[0], "a second call");
                    self.calling = true;
                }
                Output::Send(side, bytes) => {
                    assert!(self.open[Self::place(*side)], "on no connection");
                    assert!(bgp_core::next_frame(bytes, header::MAX).unwrap().is_some());
                }
                Output::Close(Side::Outgoing) if self.calling => self.calling = false,
                Output::Close(side) => {
                    let open = std::mem::take(&mut self.open[Self::place(*side)]);
                    assert!(open, "no connection to close");
                }
                Output::Up(session) => {
                    assert!(!self.up, "up twice");
                    assert!(self.open[Self::place(session.side)]);
                    assert!(
                        !self.open[Self::place(session.side.other())],
                        "another one is left"
                    );
                    self.up = true;
                }
                Output::Update(_) | Output::Refresh(_) => assert!(self.up, "without a session"),
                Output::Down(_) => {
                    assert_eq!(self.open, [false; 2], "a connection is left");
                    self.up = false;
                }
            }
        }
    }

    fn draw(&mut self, chance: &mut Chance) -> Input {
        let side = if chance.below(2) == 0 {
            Side::Outgoing
        } else {
            Side::Incoming
        };
        let place = Self::place(side);
        match chance.below(24) {
            0 => Input::Start,
            1 => Input::Stop(stops(chance)),
            2..=6 if !self.open[place] => {
                self.open[place] = true;
                if side == Side::Outgoing {
                    self.calling = false;
                }
                Input::Connected(side)
            }
            7 if self.calling => {
                self.calling = false;
                Input::ConnectFailed
            }
            8 => Input::Blocked(side),
            9 => Input::Progress(side),
            10 => Input::Fault(Code::MalformedAsPath.into()),
            11 => {
                self.open[place] = false;
                Input::Closed(side)
            }
            12..=14 => Input::Timeout,
            _ => Input::Received(side, bytes(chance)),
        }
    }
}

fn stops(chance: &mut Chance) -> Stop {
    match chance.below(6) {
        0 => Stop::Shutdown {
            message: Some("ü".repeat(200)),
        },
        1 => Stop::Reset { message: None },
        2 => Stop::DeConfigured,
        3 => Stop::ConfigChange,
        4 => Stop::BfdDown,
        _ => Stop::MaximumPrefixes {
            family: Family::Ipv4Unicast,
            limit: 10,
            restart: (chance.below(2) == 0).then_some(Duration::from_secs(5)),
        },
    }
}

/// Mostly what makes sense somewhere; sometimes cut short, sometimes with an octet of its own.
fn bytes(chance: &mut Chance) -> Bytes {
    let mut bytes = BytesMut::new();
    for _ in 0..=chance.below(2) {
        let message = match chance.below(12) {
            0..=3 => their_open().encode(),
            4..=8 => keepalive(),
            9 => update(),
            10 => message(5, &[0, 1, 0, 1]),
            _ => notification(Code::ALL[usize::try_from(chance.below(30)).unwrap()]),
        };
        bytes.put_slice(&message);
    }
    if chance.below(8) == 0 {
        let at = usize::try_from(chance.below(bytes.len() as u64)).unwrap();
        bytes[at] = u8::try_from(chance.below(256)).unwrap();
    }
    if chance.below(8) == 0 {
        let at = usize::try_from(chance.below(bytes.len() as u64)).unwrap();
        bytes.truncate(at);
    }
    bytes.freeze()
}

/// Whatever comes: no panic; what is put out for a side lies between its Connected and its Close; one Down at most
/// for each Up, and no connection behind it; after a Timeout nothing is due.
#[test]
fn noise_is_survived_and_answered_in_order() {
    let mut ups = 0;
    for seed in 0..SEEDS {
        let mut chance = Chance::new(seed);
        let passive = chance.below(4) == 0;
        let mut one = One::new(Config {
            passive,
            ..config()
        });
        let mut driver = Driver::default();
        for _ in 0..STEPS {
            let input = driver.draw(&mut chance);
            if chance.below(3) == 0 {
                one.now += Duration::from_millis(chance.below(3000));
            }
            let timeout = matches!(input, Input::Timeout);
            let out = one.feed(input);
            driver.take(&out);
            assert_eq!(driver.up, one.fsm.session().is_some());
            if timeout {
                assert!(
                    one.fsm.deadline().is_none_or(|at| at > one.now),
                    "seed {seed}"
                );
            }
        }
        ups += one.fsm.counters().established;
    }
    assert!(ups > SEEDS / 10, "noise that says nothing: {ups}");
}

/// Woken only at its deadline, a state machine does what it does when woken each millisecond.
#[test]
fn deadlines_are_complete() {
    for seed in 0..24 {
        let start = epoch();
        let life = |each: bool| {
            let mut chance = Chance::new(seed);
            let mut driver = Driver::default();
            let mut fsm = Fsm::new(config(), seed);
            let mut trace = Vec::new();
            let mut next_input = 0;
            for milli in 0..60_000 {
                let now = start + Duration::from_millis(milli);
                let mut out = Vec::new();
                if each || fsm.deadline().is_some_and(|at| at <= now) {
                    fsm.handle(now, Input::Timeout, &mut out);
                    driver.take(&out);
                }
                if milli == next_input {
                    let before = out.len();
                    let input = driver.draw(&mut chance);
                    fsm.handle(now, input, &mut out);
                    driver.take(&out[before..]);
                    next_input += 1 + chance.below(2500);
                }
                trace.extend(out.into_iter().map(|output| (milli, output)));
            }
            trace
        };
        assert_eq!(life(true), life(false), "seed {seed}");
    }
}
