//! Whether a world comes to rest. BGP need not: with MED, route reflectors may never agree (RFC 3345), nor may ASes that
//! each prefer the way around by LOCAL_PREF. Such a world is recognized by what is told again and again, and
//! must come to rest once nobody has a MED or a preference.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use speaker::command::InjectionBatch;

use super::scenario::configure;
use super::world::World;

/// The world is looked at so often.
const SLICE: Duration = Duration::from_secs(10);
/// More arrivals in a slice than sessions at rest have: something goes on.
const BUSY: usize = 400;
/// How long what goes on is watched.
const WATCHED: Duration = Duration::from_secs(4);
/// Nothing that was told so often meanwhile will be the last word.
const RETURNS: usize = 12;
/// Octets of a KEEPALIVE.
const KEEPALIVE: usize = 19;

impl World {
    /// Lets `span` go by. If routes oscillate meanwhile, preferences are taken out of the world, once, and the span
    /// begins anew.
    pub(super) fn rest(&mut self, span: Duration) {
        let (mut end, mut cured) = (self.now + span, false);
        while self.now < end && self.fault.is_none() {
            if !self.oscillates(SLICE.min(end - self.now)) {
                continue;
            }
            if cured {
                return self.blame(0, "routes oscillate, and nobody has a preference");
            }
            without_preferences(self);
            (end, cured) = (self.now + span, true);
        }
    }

    /// The same while other things happen, which may bring preferences back.
    pub(super) fn go_on(&mut self, span: Duration) {
        if self.oscillates(span) {
            without_preferences(self);
        }
    }

    /// Lets `span` go by, and more if much happens: whether that is routes that oscillate.
    fn oscillates(&mut self, span: Duration) -> bool {
        let before = self.arrivals;
        self.run(span);
        if self.arrivals - before < BUSY {
            return false;
        }
        self.came = Some(BTreeMap::new());
        self.run(WATCHED);
        let came = self.came.take().unwrap_or_default();
        let oscillates = came.values().any(|times| *times > RETURNS);
        if oscillates {
            self.note(0, "hears that routes oscillate");
            self.oscillated = true;
        }
        oscillates
    }

    pub(super) fn count(&mut self, wire: usize, end: usize, data: &Bytes) {
        self.arrivals += 1;
        if let Some(came) = self.came.as_mut().filter(|_| data.len() > KEEPALIVE) {
            *came.entry((wire, end, data.clone())).or_default() += 1;
        }
    }
}

/// Nobody has a MED any more, neither routes of the configuration, nor policies, nor what was injected; and policies
/// leave LOCAL_PREF as it is.
fn without_preferences(world: &mut World) {
    for host in 0..world.hosts.len() {
        let Some(mut config) = world.hosts.get(host).map(|h| h.config.clone()) else {
            continue;
        };
        for originate in &mut config.originate {
            originate.attributes.med = None;
        }
        for aggregate in &mut config.aggregates {
            aggregate.attributes.med = None;
        }
        let rules = config
            .policies
            .iter_mut()
            .flat_map(|policy| &mut policy.rules);
        // A rule that sets nothing would be refused.
        for rule in rules {
            rule.set.med = rule.set.med.take().map(|_| "0".to_owned());
            rule.set.local_pref = rule.set.local_pref.take().map(|_| "100".to_owned());
        }
        configure(world, host, config);
        for owner in ["one", "two"] {
            let nothing = InjectionBatch {
                owner: owner.to_owned(),
                replace_all: true,
                ..InjectionBatch::default()
            };
            world.with(host, |s, now, out| s.inject(now, nothing, out).ok());
        }
    }
}
