//! What a stream of echoes says of a link that went bad and became whole again. Pure.

use std::time::Duration;

use crate::lab::Sample;

/// Routers that a packet crosses on the direct link: the two gateways.
const DIRECT: u8 = 2;
/// Who has not settled so long before the link is whole again has not settled at all.
const CALM: Duration = Duration::from_secs(2);

/// When what happened, since the stream began, and which ways of the link it was.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// The link became bad.
    pub bad: Duration,
    /// It became whole.
    pub whole: Duration,
    /// Echoes had to go another way.
    pub there: bool,
    /// Replies had to.
    pub back: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verdict {
    /// From this time after the link became bad, nothing was lost, and nothing took it that had to leave. `None`: that
    /// did not come.
    pub settled: Option<Duration>,
    /// The longest time without a reply, as long as the link was bad.
    pub outage: Duration,
    /// The share of echoes lost as long as the link was bad, 0 to 1.
    pub lost: f64,
    /// The longest time from an echo to its reply, as long as the link was bad.
    pub slowest: Duration,
    /// Replies that came after one to a later echo, meanwhile.
    pub overtaken: u32,
    /// How often the path changed meanwhile, both directions together.
    pub changes: u32,
    /// Whether a direction changed that had no reason to.
    pub needless: bool,
    /// From this time after the link became whole, all took it. `None`: that did not come.
    pub returned: Option<Duration>,
    /// Echoes lost after the link had become whole.
    pub lost_then: u32,
    /// How often the path changed then, both directions together.
    pub changes_then: u32,
}

/// Judges a stream.
#[must_use]
pub fn judge(samples: &[Sample], at: Timeline) -> Verdict {
    let bad: Vec<&Sample> = within(samples, at.bad, at.whole).collect();
    let whole: Vec<&Sample> = within(samples, at.whole, Duration::MAX).collect();
    let stays = |sample: &Sample| {
        sample.reply.is_none_or(|reply| {
            (at.there && reply.there == DIRECT) || (at.back && reply.back == DIRECT)
        })
    };
    let is_away = |sample: &Sample| {
        let direct = |reply: crate::lab::Reply| reply.there == DIRECT && reply.back == DIRECT;
        !sample.reply.is_some_and(direct)
    };
    let last = bad
        .iter()
        .filter(|sample| stays(sample))
        .map(|s| s.sent)
        .max();
    let settled = last.map_or(Duration::ZERO, |last| last.saturating_sub(at.bad));
    let lost = bad.iter().filter(|sample| sample.reply.is_none()).count();
    let last_away = whole
        .iter()
        .filter(|sample| is_away(sample))
        .map(|s| s.sent)
        .max();
    let ended_direct = whole.last().is_some_and(|sample| !is_away(sample));
    let [there, back] = changes(&bad, [DIRECT; 2]);
    let then = changes(&whole, ended(&bad));
    Verdict {
        settled: Some(settled).filter(|settled| *settled + CALM < at.whole.saturating_sub(at.bad)),
        outage: outage(samples, at),
        lost: ratio(lost, bad.len()),
        slowest: bad
            .iter()
            .filter_map(|s| taken(s))
            .max()
            .unwrap_or_default(),
        overtaken: overtaken(&bad),
        changes: there + back,
        needless: (!at.there && there > 0) || (!at.back && back > 0),
        returned: ended_direct
            .then(|| last_away.map_or(Duration::ZERO, |last| last.saturating_sub(at.whole))),
        lost_then: whole
            .iter()
            .filter(|sample| sample.reply.is_none())
            .fold(0, |count, _| count + 1),
        changes_then: then.iter().sum(),
    }
}

fn within(samples: &[Sample], from: Duration, to: Duration) -> impl Iterator<Item = &Sample> {
    samples.iter().filter(move |s| (from..to).contains(&s.sent))
}

/// The longest time from a reply's echo to that of the next one, while the link was bad.
fn outage(samples: &[Sample], at: Timeline) -> Duration {
    let (mut last, mut longest) = (at.bad, Duration::ZERO);
    for sample in within(samples, at.bad, Duration::MAX) {
        if sample.reply.is_some() || sample.sent >= at.whole {
            longest = longest.max(sample.sent.min(at.whole).saturating_sub(last));
            last = sample.sent;
        }
        if sample.sent >= at.whole {
            break;
        }
    }
    longest
}

fn taken(sample: &Sample) -> Option<Duration> {
    Some(sample.reply?.came.saturating_sub(sample.sent))
}

fn overtaken(samples: &[&Sample]) -> u32 {
    let came = samples.iter().filter_map(|s| Some(s.reply?.came));
    let (mut earliest, mut count) = (Duration::MAX, 0);
    for came in came.rev() {
        count += u32::from(came > earliest);
        earliest = earliest.min(came);
    }
    count
}

/// Over how many routers each direction went last.
fn ended(samples: &[&Sample]) -> [u8; 2] {
    let last = samples.iter().rev().find_map(|sample| sample.reply);
    last.map_or([DIRECT; 2], |reply| [reply.there, reply.back])
}

/// How often each direction took another number of routers than before, which were at first these. Each in the order in which its
/// packets left: echoes of a way that is slow are answered after later ones of another.
fn changes(samples: &[&Sample], last: [u8; 2]) -> [u32; 2] {
    let replies = || samples.iter().filter_map(|sample| sample.reply);
    let mut back: Vec<_> = replies().map(|r| (r.answered, r.back)).collect();
    back.sort_unstable();
    [
        differences(last[0], replies().map(|reply| reply.there)),
        differences(last[1], back.into_iter().map(|(_, back)| back)),
    ]
}

/// How often one is another than the one before.
fn differences(mut last: u8, all: impl Iterator<Item = u8>) -> u32 {
    let differs = |now| u32::from(std::mem::replace(&mut last, now) != now);
    all.map(differs).sum()
}

#[allow(clippy::cast_precision_loss, reason = "a few thousand echoes")]
fn ratio(part: usize, all: usize) -> f64 {
    part as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests;
