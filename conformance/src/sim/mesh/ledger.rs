//! What a gateway sends, and how often it changes its mind.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use speaker::path_score::Direction;

use super::liveness::Datagram;

/// What IP and WireGuard put around a probe, and UDP.
const AROUND: usize = 88;
const UDP: usize = 8;
const MINUTE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    second: u64,
    probes_now: u64,
    answers_now: u64,
    /// The most bits of probes in a second, and of answers.
    pub(super) most_probes: u64,
    pub(super) most_answers: u64,
    /// Bits of probes in all.
    pub(super) all_probes: u64,
    /// Packets.
    pub(super) probes: u64,
    pub(super) bfd: u64,
    /// Neighbors to which, or from which, a link costs more than at first.
    pub(super) raised: BTreeSet<(usize, Direction)>,
    moves: VecDeque<Instant>,
    pub(super) most_moves: usize,
}

impl Ledger {
    /// `at` is the time since the start.
    pub(super) fn sent(&mut self, at: Duration, datagram: &Datagram) {
        if at.as_secs() != self.second {
            (self.second, self.probes_now, self.answers_now) = (at.as_secs(), 0, 0);
        }
        let bits = |octets: usize| (octets + AROUND) as u64 * 8;
        match datagram {
            Datagram::Probe(_, payload) => self.probe(bits(payload.len() + UDP)),
            Datagram::Echo(_, message) => self.probe(bits(message.len())),
            Datagram::Answer(_, payload) => self.answers_now += bits(payload.len() + UDP),
            Datagram::Reply(_, message) => self.answers_now += bits(message.len()),
            Datagram::Bfd(_) => self.bfd += 1,
        }
        self.most_probes = self.most_probes.max(self.probes_now);
        self.most_answers = self.most_answers.max(self.answers_now);
    }

    fn probe(&mut self, bits: u64) {
        self.probes_now += bits;
        self.all_probes += bits;
        self.probes += 1;
    }

    /// A cost changed: how many did within a minute.
    pub(super) fn moved(&mut self, now: Instant) -> usize {
        self.moves.push_back(now);
        while self.moves.front().is_some_and(|at| now - *at >= MINUTE) {
            self.moves.pop_front();
        }
        self.most_moves = self.most_moves.max(self.moves.len());
        self.moves.len()
    }
}
