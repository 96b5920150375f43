//! RFC 5880 §6, each by its sentence: one session, and a neighbor that is a hand-written packet.

use super::*;

const MS: Duration = Duration::from_millis(1);
const NEIGHBOR: u32 = 99;

fn config() -> Config {
    Config {
        transmit: 50 * MS,
        receive: 60 * MS,
        multiplier: NonZeroU8::new(3).unwrap(),
        passive: false,
        spares_lossy: true,
        authentication: None,
    }
}

fn packet(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        multiplier: 5,
        my_discriminator: NEIGHBOR,
        your_discriminator: 7,
        desired_min_tx: 100 * MS,
        required_min_rx: 70 * MS,
        required_min_echo_rx: Duration::ZERO,
    }
}

/// A session, the time, and all that it said.
struct Lab {
    session: Session,
    start: Instant,
    now: Instant,
    sent: Vec<(Duration, Packet)>,
    changes: Vec<Change>,
    missing: Vec<Duration>,
}

impl Lab {
    fn new(config: Config) -> Self {
        #[expect(clippy::disallowed_methods)]
        let start = Instant::now();
        let discriminator = NonZeroU32::new(7).unwrap();
        Self {
            session: Session::new(start, config, discriminator, Chance::new(1)),
            start,
            now: start,
            sent: Vec::new(),
            changes: Vec::new(),
            missing: Vec::new(),
        }
    }

    fn up() -> Self {
        let mut lab = Self::new(config());
        lab.hear(packet(State::Down));
        lab.hear(packet(State::Init));
        assert_eq!(lab.session.state(), State::Up);
        lab
    }

    fn took(&mut self, said: Vec<Said>) {
        for said in said {
            match said {
                Said::Send(octets) => {
                    let packet = Packet::decode(octets.as_ref()).unwrap().packet;
                    self.sent.push((self.now - self.start, packet));
                }
                Said::Changed(change) => self.changes.push(change),
                Said::Missing => self.missing.push(self.now - self.start),
            }
        }
    }

    fn hear(&mut self, packet: Packet) {
        self.try_hear(packet).unwrap();
    }

    fn try_hear(&mut self, packet: Packet) -> Result<(), Fault> {
        let octets = packet.encode(false);
        let mut said = Vec::new();
        let decoded = Packet::decode(&octets).unwrap();
        let result = self.session.receive(self.now, &decoded, &mut said);
        self.took(said);
        result
    }

    fn configure(&mut self, config: Config) {
        let mut said = Vec::new();
        self.session.configure(self.now, config, &mut said);
        self.took(said);
    }

    fn administer(&mut self, up: bool) {
        let mut said = Vec::new();
        self.session.administer(self.now, up, &mut said);
        self.took(said);
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.session.deadline().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            let mut said = Vec::new();
            self.session.timeout(self.now, &mut said);
            self.took(said);
        }
        self.now = until;
    }

    /// Lets time pass while the neighbor sends a packet each 10 ms.
    fn pass_hearing(&mut self, time: Duration, packet: Packet) {
        let until = self.now + time;
        while self.now < until {
            self.hear(packet);
            self.pass(10 * MS);
        }
    }

    fn last(&self) -> Packet {
        self.sent.last().unwrap().1
    }

    /// The times between packets sent since this one.
    fn gaps(&self, since: usize) -> Vec<Duration> {
        let sent = &self.sent[since..];
        sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
    }
}

/// §6.2: Down, Init, Up, "each system communicates its session state in the State (Sta) field".
#[test]
fn a_three_way_handshake_brings_it_up() {
    let mut lab = Lab::new(config());
    lab.pass(MS);
    assert_eq!(
        (lab.last().state, lab.last().your_discriminator),
        (State::Down, 0)
    );
    lab.hear(packet(State::Down));
    assert_eq!(
        (lab.last().state, lab.last().your_discriminator),
        (State::Init, NEIGHBOR)
    );
    lab.hear(packet(State::Init));
    assert_eq!(lab.last().state, State::Up);
    let states: Vec<_> = lab.changes.iter().map(|change| change.to).collect();
    assert_eq!(states, [State::Init, State::Up]);
}

/// §6.8.6, every row: what each state makes of each state of the neighbor.
#[test]
fn every_state_answers_every_state_as_the_rfc_has_it() {
    use State::{AdminDown, Down, Init, Up};
    let rows = [
        (
            Down,
            [(AdminDown, Down), (Down, Init), (Init, Up), (Up, Down)],
        ),
        (
            Init,
            [(AdminDown, Down), (Down, Init), (Init, Up), (Up, Up)],
        ),
        (Up, [(AdminDown, Down), (Down, Down), (Init, Up), (Up, Up)]),
    ];
    for (state, answers) in rows {
        for (heard, then) in answers {
            let mut lab = Lab::new(config());
            let way: &[State] = match state {
                AdminDown | Down => &[],
                Init => &[Down],
                Up => &[Down, Init],
            };
            for step in way {
                lab.hear(packet(*step));
            }
            assert_eq!(lab.session.state(), state);
            lab.hear(packet(heard));
            assert_eq!(lab.session.state(), then, "{state:?} hears {heard:?}");
        }
    }
}

/// §6.8.3: "When bfd.SessionState is not Up, the system MUST set bfd.DesiredMinTxInterval to a value of not less than
/// one second".
#[test]
fn what_is_not_up_sends_once_a_second_at_most() {
    let mut lab = Lab::new(config());
    lab.pass(Duration::from_secs(20));
    assert!(
        lab.sent
            .iter()
            .all(|(_, packet)| packet.desired_min_tx >= SLOW)
    );
    assert!(lab.gaps(0).iter().all(|gap| *gap >= SLOW * 3 / 4));
    assert!(lab.sent.len() >= 20);
}

/// §6.8.7: "a system MUST NOT transmit BFD Control packets at an interval less than the larger of
/// bfd.DesiredMinTxInterval and bfd.RemoteMinRxInterval, less applied jitter".
#[test]
fn it_sends_as_often_as_both_can() {
    let mut lab = Lab::up();
    lab.hear(Packet {
        is_final: true,
        ..packet(State::Up)
    });
    let since = lab.sent.len();
    lab.pass_hearing(Duration::from_secs(10), packet(State::Up));
    let gaps = lab.gaps(since);
    assert!(
        gaps.iter()
            .all(|gap| (70 * MS * 3 / 4..=70 * MS).contains(gap))
    );
    assert!(gaps.len() > 140);
}

/// §6.8.4: "the Detection Time calculated in the local system is equal to the value of Detect Mult received from the
/// remote system, multiplied by the agreed transmit interval of the remote system (the greater of
/// bfd.RequiredMinRxInterval and the last received Desired Min TX Interval)".
#[test]
fn it_goes_down_after_a_detection_time_and_not_before() {
    let mut lab = Lab::up();
    assert_eq!(lab.session.detection_time(), Some(500 * MS));
    lab.hear(packet(State::Up));
    lab.pass(499 * MS);
    assert_eq!(lab.session.state(), State::Up);
    lab.pass(MS);
    assert_eq!(lab.session.state(), State::Down);
    let change = lab.changes.last().unwrap();
    assert_eq!(change.reason, Reason::DetectionTimeExpired);
    let last = lab.last();
    assert_eq!(last.diagnostic, Diagnostic::CONTROL_DETECTION_TIME_EXPIRED);
    assert_eq!(last.state, State::Down);
}

/// §6.8.1, bfd.RemoteDiscr: "If a period of a Detection Time passes without the receipt of a valid, authenticated BFD
/// packet from the remote system, this variable MUST be set to zero."
#[test]
fn a_neighbor_that_is_silent_is_forgotten() {
    let mut lab = Lab::up();
    lab.pass(Duration::from_secs(3));
    assert_eq!(lab.last().your_discriminator, 0);
    assert_eq!(lab.session.remote(), None);
}

/// §6.8.6: "If the Poll (P) bit is set, send a BFD Control packet to the remote system with the Poll (P) bit clear, and
/// the Final (F) bit set".
#[test]
fn a_poll_is_answered_at_once() {
    let mut lab = Lab::up();
    let before = lab.sent.len();
    lab.hear(Packet {
        poll: true,
        ..packet(State::Up)
    });
    assert_eq!(lab.sent.len(), before + 1);
    assert!(lab.last().is_final && !lab.last().poll);
}

/// §6.5: a Poll Sequence follows the change of an interval, "until a BFD Control packet is received with the Final bit
/// set"; coming up changes one.
#[test]
fn coming_up_polls_until_it_is_answered() {
    let mut lab = Lab::up();
    let since = lab.sent.len() - 1;
    lab.pass_hearing(Duration::from_secs(1), packet(State::Up));
    assert!(lab.sent[since..].iter().all(|(_, packet)| packet.poll));
    lab.hear(Packet {
        is_final: true,
        ..packet(State::Up)
    });
    let since = lab.sent.len();
    lab.pass_hearing(Duration::from_secs(1), packet(State::Up));
    assert!(lab.sent[since..].iter().all(|(_, packet)| !packet.poll));
}

/// §6.8.3: "If bfd.DesiredMinTxInterval is increased and bfd.SessionState is Up, the actual transmission interval used
/// MUST NOT change until the Poll Sequence described above has terminated."
#[test]
fn it_slows_down_only_once_the_neighbor_knows() {
    let mut lab = Lab::up();
    lab.hear(Packet {
        is_final: true,
        ..packet(State::Up)
    });
    lab.configure(Config {
        transmit: 400 * MS,
        ..config()
    });
    assert_eq!(lab.last().desired_min_tx, 400 * MS);
    assert!(lab.last().poll);
    assert_eq!(lab.session.transmit_interval(), Some(70 * MS));
    lab.hear(Packet {
        is_final: true,
        ..packet(State::Up)
    });
    assert_eq!(lab.session.transmit_interval(), Some(400 * MS));
}

/// §6.8.3: "If bfd.RequiredMinRxInterval is reduced and bfd.SessionState is Up, the previous value of
/// bfd.RequiredMinRxInterval MUST be used when calculating the Detection Time for the remote system until the Poll
/// Sequence described above has terminated."
#[test]
fn it_loses_patience_only_once_the_neighbor_knows() {
    let mut lab = Lab::up();
    let fast = Packet {
        desired_min_tx: 10 * MS,
        ..packet(State::Up)
    };
    lab.hear(Packet {
        is_final: true,
        ..fast
    });
    lab.configure(Config {
        receive: 20 * MS,
        ..config()
    });
    lab.hear(fast);
    assert_eq!(lab.session.detection_time(), Some(60 * MS * 5));
    lab.hear(Packet {
        is_final: true,
        ..fast
    });
    assert_eq!(lab.session.detection_time(), Some(20 * MS * 5));
}

/// §6.5: an answer to what was said before the last change ends nothing.
#[test]
fn a_change_during_a_poll_needs_an_answer_of_its_own() {
    let mut lab = Lab::up();
    let answer = Packet {
        is_final: true,
        ..packet(State::Up)
    };
    lab.hear(answer);
    lab.configure(Config {
        transmit: 300 * MS,
        ..config()
    });
    lab.configure(Config {
        transmit: 400 * MS,
        ..config()
    });
    lab.hear(answer);
    assert_eq!(lab.session.transmit_interval(), Some(70 * MS));
    lab.hear(answer);
    assert_eq!(lab.session.transmit_interval(), Some(400 * MS));
}

/// §6.8.3: when the neighbor can receive more often, "the local system MUST honor the new interval immediately".
#[test]
fn it_hurries_at_once_when_the_neighbor_can_take_more() {
    let mut lab = Lab::up();
    let slow = Packet {
        required_min_rx: Duration::from_secs(10),
        ..packet(State::Up)
    };
    lab.hear(Packet {
        is_final: true,
        ..slow
    });
    lab.pass(200 * MS);
    let before = lab.sent.len();
    lab.hear(packet(State::Up));
    lab.pass(MS);
    assert_eq!(lab.sent.len(), before + 1);
}

/// §6.8.7: "A system MUST NOT periodically transmit BFD Control packets if bfd.RemoteMinRxInterval is zero."
#[test]
fn a_neighbor_that_receives_nothing_is_sent_nothing() {
    let mut lab = Lab::up();
    let deaf = Packet {
        required_min_rx: Duration::ZERO,
        ..packet(State::Up)
    };
    lab.hear(Packet {
        is_final: true,
        ..deaf
    });
    let before = lab.sent.len();
    lab.pass_hearing(Duration::from_secs(5), deaf);
    assert_eq!(lab.sent.len(), before);
}

/// §6.8.7: nor "if Demand mode is active on the remote system [...] and a Poll Sequence is not being transmitted".
#[test]
fn a_neighbor_in_demand_mode_is_sent_nothing_but_answers() {
    let mut lab = Lab::up();
    let demand = Packet {
        demand: true,
        ..packet(State::Up)
    };
    lab.hear(Packet {
        is_final: true,
        ..demand
    });
    let before = lab.sent.len();
    lab.pass_hearing(Duration::from_secs(5), demand);
    assert_eq!(lab.sent.len(), before);
    lab.hear(Packet {
        poll: true,
        ..demand
    });
    assert!(lab.last().is_final);
    assert_eq!(lab.sent.len(), before + 1);
    lab.configure(Config {
        transmit: 80 * MS,
        ..config()
    });
    lab.pass_hearing(Duration::from_secs(1), demand);
    assert!(lab.sent[before + 1..].len() > 5 && lab.last().poll);
}

/// §6.1: "A system taking the Passive role MUST NOT begin sending BFD packets for a particular session until it has
/// received a BFD packet for that session".
#[test]
fn the_passive_one_waits() {
    let mut lab = Lab::new(Config {
        passive: true,
        ..config()
    });
    lab.pass(Duration::from_secs(10));
    assert!(lab.sent.is_empty());
    lab.hear(packet(State::Down));
    lab.pass(SLOW);
    assert!(lab.sent.len() >= 2);
}

/// §6.8.16, and §6.2 of the state AdminDown: "the session will stay down" whatever is heard.
#[test]
fn administratively_down_stays_so_until_it_is_let_up() {
    let mut lab = Lab::up();
    lab.administer(false);
    let last = lab.last();
    assert_eq!(last.state, State::AdminDown);
    assert_eq!(last.diagnostic, Diagnostic::ADMINISTRATIVELY_DOWN);
    for state in [State::AdminDown, State::Down, State::Init, State::Up] {
        assert_eq!(lab.try_hear(packet(state)), Err(Fault::AdminDown));
    }
    assert_eq!(lab.session.state(), State::AdminDown);
    lab.administer(true);
    assert_eq!(lab.session.state(), State::Down);
    lab.hear(packet(State::Down));
    lab.hear(packet(State::Init));
    assert_eq!(lab.session.state(), State::Up);
}

/// RFC 5882 §3.2: an administrative Down is no sign that the path failed.
#[test]
fn only_a_failure_is_a_failure() {
    let mut lab = Lab::up();
    lab.hear(packet(State::AdminDown));
    assert!(!lab.changes.last().unwrap().reason.is_failure());
    let mut lab = Lab::up();
    lab.hear(packet(State::Down));
    assert!(lab.changes.last().unwrap().reason.is_failure());
    assert_eq!(
        lab.last().diagnostic,
        Diagnostic::NEIGHBOR_SIGNALED_SESSION_DOWN
    );
}

/// §6.8.6: "If the A bit is set and no authentication is in use (bfd.AuthType is zero), the packet MUST be discarded.
/// If the A bit is clear and authentication is in use (bfd.AuthType is nonzero), the packet MUST be discarded."
#[test]
fn both_are_authenticated_or_neither() {
    use crate::authentication::Kind;
    let key = Authentication::new(Kind::Simple, 1, b"secret").unwrap();
    let mut lab = Lab::new(Config {
        authentication: Some(key),
        ..config()
    });
    assert_eq!(
        lab.try_hear(packet(State::Down)),
        Err(Fault::Unauthenticated)
    );
    let mut lab = Lab::new(config());
    let mut octets = packet(State::Down).encode(true).to_vec();
    octets[3] = 26;
    octets.extend([1, 2]);
    let decoded = Packet::decode(&octets).unwrap();
    let result = lab.session.receive(lab.now, &decoded, &mut Vec::new());
    assert_eq!(result, Err(Fault::Authenticated));
}

impl Lab {
    /// Lets time pass while probes pass the path, one each 20 ms.
    fn pass_witnessed(&mut self, time: Duration, lossy: bool) {
        let until = self.now + time;
        while self.now < until {
            self.session.witness(self.now, lossy);
            self.pass((20 * MS).min(until - self.now));
        }
    }
}

/// The neighbor of these tests is missed after 5 × 100 ms.
#[test]
fn while_probes_pass_the_path_missing_packets_are_loss_and_the_session_stays() {
    for lossy in [false, true] {
        let mut lab = Lab::up();
        lab.pass_witnessed(4900 * MS, lossy);
        assert_eq!(lab.session.state(), State::Up);
        // One packet of three seconds, and all is well.
        lab.hear(packet(State::Up));
        lab.pass_witnessed(4900 * MS, lossy);
        assert_eq!(lab.session.state(), State::Up);
        // But BFD that nobody lets through is no BFD.
        lab.pass_witnessed(200 * MS, lossy);
        assert_eq!(lab.session.state(), State::Down);
        assert_eq!(
            lab.changes.last().unwrap().reason,
            Reason::DetectionTimeExpired
        );
    }
}

/// Traffic leaves a path that is cut as soon as it would without witnesses; the session ends when it is certain.
#[test]
fn a_path_that_may_be_cut_is_told_at_once_and_the_session_ends_when_it_is_certain() {
    let mut lab = Lab::up();
    lab.session.witness(lab.now, false);
    lab.pass(499 * MS);
    assert!(lab.missing.is_empty());
    lab.pass(MS);
    assert_eq!((lab.missing.len(), lab.session.state()), (1, State::Up));
    lab.pass(499 * MS);
    assert_eq!((lab.missing.len(), lab.session.state()), (1, State::Up));
    lab.pass(MS);
    assert_eq!(lab.session.state(), State::Down);
}

#[test]
fn each_gap_is_told_once_and_only_while_nothing_else_passes() {
    let mut lab = Lab::up();
    lab.pass_witnessed(2000 * MS, false);
    assert!(lab.missing.is_empty());
    lab.pass(300 * MS);
    assert_eq!(lab.missing.len(), 1);
    lab.pass_witnessed(500 * MS, false);
    lab.pass(300 * MS);
    assert_eq!(lab.missing.len(), 1);
    lab.hear(packet(State::Up));
    lab.session.witness(lab.now, false);
    lab.pass(500 * MS);
    assert_eq!((lab.missing.len(), lab.session.state()), (2, State::Up));
}

#[test]
fn a_path_that_is_known_to_lose_is_given_several_detection_times() {
    let mut lab = Lab::up();
    lab.pass_witnessed(3000 * MS, true);
    lab.pass(1900 * MS);
    assert_eq!(lab.session.state(), State::Up);
    lab.pass(100 * MS);
    assert_eq!(lab.session.state(), State::Down);
}

#[test]
fn who_does_not_want_a_lossy_path_to_be_spared_has_plain_bfd() {
    let mut lab = Lab::up();
    lab.configure(Config {
        spares_lossy: false,
        ..config()
    });
    lab.pass_witnessed(510 * MS, true);
    assert_eq!(lab.session.state(), State::Down);
}

/// What was seen of a session's earlier life is no excuse for the next one.
#[test]
fn witnesses_bring_no_session_up() {
    let mut lab = Lab::new(config());
    lab.pass_witnessed(5000 * MS, true);
    assert_eq!(lab.session.state(), State::Down);
    lab.hear(packet(State::Down));
    assert_eq!(lab.session.state(), State::Init);
    lab.pass_witnessed(600 * MS, true);
    assert_eq!(lab.session.state(), State::Down);
}
