//! From the graph to rules in order. What follows a test on one side only is a rule, or a policy that a rule jumps to
//! and that does not decide; where two sides come together again and the test may hold no longer, a tag remembers.

use std::collections::BTreeSet;

use super::change::{Change, Sets};
use super::graph::{At, Graph, What};
use super::matches::Cond;
use super::{Draft, Lost, Policy};
use crate::lexer::Place;

/// Most rules of a filter.
const RULES_MAX: usize = 4_000;
/// windrose's bound on policies that a route is in at once, less the one with both families.
const DEPTH_MAX: usize = 7;
/// Rules that are put inside instead of into a policy of their own.
const INLINE_MAX: usize = 4;
/// Nodes of which such rules are made.
const INLINE_NODES_MAX: usize = 9;
/// Nodes that are tried as the one where two sides meet.
const MEETINGS_MAX: usize = 32;
/// Tags that remember branches begin here; those of protocols are below.
const SCRATCH: u32 = 1_000_000;

/// A rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Rule {
    pub(crate) cond: Cond,
    pub(crate) sets: Sets,
    pub(crate) then: Then,
    pub(crate) place: Place,
}

/// What happens after a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Then {
    Decide(bool),
    Next,
    /// To the policy of this number.
    Jump(usize),
}

/// Why rules were not made.
enum Refused {
    /// No rule can say both conditions: a policy of its own can.
    Guard,
    /// Too many of them, or too deep.
    Size,
}

type Emitted = Result<(), Refused>;

struct Emitter<'a> {
    graph: &'a Graph,
    draft: Draft,
    rules: usize,
    tags: u32,
}

/// What comes after a test: rules for those that it holds for.
#[derive(Clone, Copy)]
struct Side<'a> {
    from: At,
    stop: Option<At>,
    /// When this holds.
    cond: &'a Cond,
    place: Place,
    /// The tag of those that fall out at the end.
    mark: Option<u32>,
}

/// Makes the rules of a graph; adds to `lost` if there are too many.
pub(super) fn emit(graph: &Graph, place: Place, lost: &mut Lost) -> Draft {
    let mut emitter = Emitter {
        graph,
        draft: Draft {
            policies: vec![Policy::default()],
            scratch: false,
        },
        rules: 0,
        tags: 0,
    };
    let mut rules = Vec::new();
    let done = emitter.region(graph.start, None, &Cond::default(), &mut rules, 1);
    if done.is_err() {
        let what = format!(
            "the filter needs more than {RULES_MAX} rules, or jumps {DEPTH_MAX} deep: it rejects all"
        );
        lost.insert((place, what));
        return Draft {
            policies: vec![Policy::default()],
            scratch: false,
        };
    }
    let default = closing(&mut rules);
    if let Some(first) = emitter.draft.policies.first_mut() {
        *first = Policy { rules, default };
    }
    let mut draft = emitter.draft;
    if draft.scratch {
        if draft.asks_for_protocols() {
            let what = "both the protocol of a route and branches that come together need its tag";
            lost.insert((place, what.to_owned()));
        }
        draft.clean();
    }
    draft
}

/// A last rule without conditions and changes is the default.
fn closing(rules: &mut Vec<Rule>) -> Option<bool> {
    let default = match rules.last() {
        Some(Rule {
            cond,
            sets,
            then: Then::Decide(accept),
            ..
        }) if cond.is_empty() && sets.is_empty() => Some(*accept),
        Some(_) | None => return None,
    };
    rules.pop();
    // What the default does anyway.
    while let Some(Rule {
        sets,
        then: Then::Decide(accept),
        ..
    }) = rules.last()
        && sets.is_empty()
        && Some(*accept) == default
    {
        rules.pop();
    }
    default
}

impl Draft {
    /// Whether a condition is on tags that do not come from here.
    fn asks_for_protocols(&self) -> bool {
        self.protocols().next().is_some()
    }

    /// The tags of protocols that conditions are on.
    pub(crate) fn protocols(&self) -> impl Iterator<Item = u32> {
        let rules = self.policies.iter().flat_map(|policy| &policy.rules);
        let reads = rules.flat_map(|rule| rule.cond.reads());
        let tags = reads.filter(|(key, _)| *key == "tag");
        let items = tags.flat_map(|(_, items)| items);
        items.filter_map(|item| item.parse().ok().filter(|tag: &u32| *tag < SCRATCH))
    }

    /// Takes tags that remembered branches off routes that are accepted.
    fn clean(&mut self) {
        for policy in &mut self.policies {
            for rule in &mut policy.rules {
                if rule.then == Then::Decide(true) {
                    rule.sets.tag = Some(0);
                }
            }
            if policy.default == Some(true) {
                policy.default = None;
                policy.rules.push(Rule {
                    cond: Cond::default(),
                    sets: Sets {
                        tag: Some(0),
                        ..Sets::default()
                    },
                    then: Then::Decide(true),
                    place: Place::default(),
                });
            }
        }
    }
}

impl Emitter<'_> {
    /// The rules from a node up to `stop`, for routes that fulfil `guard`.
    fn region(
        &mut self,
        from: At,
        stop: Option<At>,
        guard: &Cond,
        out: &mut Vec<Rule>,
        depth: usize,
    ) -> Emitted {
        let mut at = from;
        while Some(at) != stop {
            at = match self.graph.what(at) {
                What::Gone => return Ok(()),
                What::End(_) | What::Change(..) => match self.straight(at, stop, guard, out)? {
                    Some(next) => next,
                    None => return Ok(()),
                },
                What::Test(cond, yes, no) => {
                    let (cond, yes, no) = (cond.clone(), *yes, *no);
                    self.test((at, &cond, yes, no), stop, guard, out, depth)?
                }
            };
        }
        Ok(())
    }

    /// Changes up to a decision, a test or `stop`, as rules with the same condition. The node after them, if any.
    fn straight(
        &mut self,
        from: At,
        stop: Option<At>,
        cond: &Cond,
        out: &mut Vec<Rule>,
    ) -> Result<Option<At>, Refused> {
        let (mut at, mut sets, place) = (from, Sets::default(), self.graph.place(from));
        let mut rule = |sets: &mut Sets, then| {
            let sets = std::mem::take(sets);
            if !sets.is_empty() || then != Then::Next {
                let cond = cond.clone();
                out.push(Rule {
                    cond,
                    sets,
                    then,
                    place,
                });
            }
        };
        loop {
            if Some(at) == stop {
                rule(&mut sets, Then::Next);
                break;
            }
            match self.graph.what(at) {
                What::End(accept) => {
                    if !*accept {
                        sets = Sets::default();
                    }
                    rule(&mut sets, Then::Decide(*accept));
                    self.count(1)?;
                    return Ok(None);
                }
                What::Change(changes, next) => {
                    for change in changes {
                        self.change(change, &mut sets, cond, &mut rule)?;
                    }
                    at = *next;
                }
                What::Test(..) | What::Gone => {
                    rule(&mut sets, Then::Next);
                    break;
                }
            }
        }
        self.count(1)?;
        Ok(Some(at))
    }

    fn change(
        &self,
        change: &Change,
        sets: &mut Sets,
        cond: &Cond,
        rule: &mut impl FnMut(&mut Sets, Then),
    ) -> Emitted {
        if !sets.then(change) {
            // The next rule's condition is asked after this one's changes.
            if sets.disturbs(cond) {
                return Err(Refused::Guard);
            }
            rule(sets, Then::Next);
            sets.then(change);
        }
        Ok(())
    }

    fn count(&mut self, more: usize) -> Emitted {
        self.rules += more;
        if self.rules > RULES_MAX {
            return Err(Refused::Size);
        }
        Ok(())
    }

    /// The rules of a test and of what lies on its sides; the node where it goes on.
    fn test(
        &mut self,
        (at, cond, yes, no): (At, &Cond, At, At),
        stop: Option<At>,
        guard: &Cond,
        out: &mut Vec<Rule>,
        depth: usize,
    ) -> Result<At, Refused> {
        let (place, not) = (self.graph.place(at), cond.negated());
        let side = |from, stop, cond| Side {
            from,
            stop,
            cond,
            place,
            mark: None,
        };
        if self.ends_soon(yes, stop) {
            self.side(side(yes, stop, cond), guard, out, depth)?;
            return Ok(no);
        }
        if self.ends_soon(no, stop) {
            self.side(side(no, stop, &not), guard, out, depth)?;
            return Ok(yes);
        }
        let meeting = self.meeting(yes, no, stop);
        if meeting == Some(no) || self.ends(yes, meeting) {
            self.side(side(yes, meeting, cond), guard, out, depth)?;
            return Ok(no);
        }
        if meeting == Some(yes) || self.ends(no, meeting) {
            self.side(side(no, meeting, &not), guard, out, depth)?;
            return Ok(yes);
        }
        let Some(meeting) = meeting else {
            return Err(Refused::Size);
        };
        let is_chain = matches!(self.graph.what(no), What::Test(..));
        if !is_chain {
            let mut rules = Vec::new();
            self.side(side(yes, Some(meeting), cond), guard, &mut rules, depth)?;
            if !self.disturb(&rules, &not) && !self.disturb(&rules, guard) {
                out.append(&mut rules);
                self.side(side(no, Some(meeting), &not), guard, out, depth)?;
                return Ok(meeting);
            }
        }
        self.chain(at, meeting, guard, out, depth)?;
        Ok(meeting)
    }

    /// Tests of which the first that holds counts: a tag says that none has held yet.
    fn chain(
        &mut self,
        from: At,
        meeting: At,
        guard: &Cond,
        out: &mut Vec<Rule>,
        depth: usize,
    ) -> Emitted {
        if !guard.is_empty() {
            return Err(Refused::Guard);
        }
        self.draft.scratch = true;
        self.tags += 2;
        let (open, taken) = (SCRATCH + self.tags, SCRATCH + self.tags + 1);
        let is_open = Cond::of("tag", vec![open.to_string()]);
        let place = self.graph.place(from);
        match out.last_mut() {
            Some(last) if last.then == Then::Next && last.cond.is_empty() => {
                last.sets.tag = Some(open);
            }
            Some(_) | None => out.push(Rule {
                cond: Cond::default(),
                sets: Sets {
                    tag: Some(open),
                    ..Sets::default()
                },
                then: Then::Next,
                place,
            }),
        }
        let mut at = from;
        while at != meeting {
            let What::Test(cond, yes, no) = self.graph.what(at) else {
                let place = self.graph.place(at);
                let side = Side {
                    from: at,
                    stop: Some(meeting),
                    cond: &is_open,
                    place,
                    mark: None,
                };
                return self.side(side, &Cond::default(), out, depth);
            };
            let (cond, yes, no) = (cond.clone(), *yes, *no);
            let place = self.graph.place(at);
            let mark = Some(taken);
            let side = Side {
                from: yes,
                stop: Some(meeting),
                cond: &cond,
                place,
                mark,
            };
            self.side(side, &is_open, out, depth)?;
            at = no;
        }
        Ok(())
    }

    /// The rules for one side of a test.
    fn side(&mut self, side: Side<'_>, guard: &Cond, out: &mut Vec<Rule>, depth: usize) -> Emitted {
        let cond = guard.and(side.cond).ok_or(Refused::Guard)?;
        let mut rules = Vec::new();
        let (before, scratch) = (self.draft.policies.len(), self.draft.scratch);
        match self.inline(side, &cond, &mut rules, depth) {
            Ok(true) => {
                out.append(&mut rules);
                return Ok(());
            }
            Ok(false) | Err(Refused::Guard) => {
                self.draft.policies.truncate(before);
                self.draft.scratch = scratch;
            }
            Err(Refused::Size) => return Err(Refused::Size),
        }
        if depth >= DEPTH_MAX {
            return Err(Refused::Size);
        }
        let number = self.draft.policies.len();
        self.draft.policies.push(Policy::default());
        let mut rules = Vec::new();
        self.region(
            side.from,
            side.stop,
            &Cond::default(),
            &mut rules,
            depth + 1,
        )?;
        if side.mark.is_some() && !self.ends(side.from, side.stop) {
            rules.push(Rule {
                cond: Cond::default(),
                sets: Sets {
                    tag: side.mark,
                    ..Sets::default()
                },
                then: Then::Next,
                place: side.place,
            });
        }
        if let Some(policy) = self.draft.policies.get_mut(number) {
            policy.rules = rules;
        }
        out.push(Rule {
            cond,
            sets: Sets::default(),
            then: Then::Jump(number),
            place: side.place,
        });
        self.count(1)
    }

    /// Rules that have the condition themselves; `false` if they had better not.
    fn inline(
        &mut self,
        side: Side<'_>,
        cond: &Cond,
        rules: &mut Vec<Rule>,
        depth: usize,
    ) -> Result<bool, Refused> {
        if self.graph.reached(side.from, side.stop).len() > INLINE_NODES_MAX {
            return Ok(false);
        }
        let scratch = self.draft.scratch;
        self.region(side.from, side.stop, cond, rules, depth)?;
        if let Some(mark) = side.mark
            && !self.ends(side.from, side.stop)
        {
            // Only where there is one way through, and its last rule can carry the mark.
            match rules.as_mut_slice() {
                [only] if only.then == Then::Next && only.cond == *cond => {
                    only.sets.tag = Some(mark)
                }
                [] => rules.push(Rule {
                    cond: cond.clone(),
                    sets: Sets {
                        tag: Some(mark),
                        ..Sets::default()
                    },
                    then: Then::Next,
                    place: side.place,
                }),
                [..] => return Ok(false),
            }
        }
        let all_but_last = rules.split_last().map_or(&[][..], |(_, before)| before);
        let good = rules.len() <= INLINE_MAX
            && self.draft.scratch == scratch
            && !self.disturb(all_but_last, cond);
        Ok(good)
    }

    /// Whether routes that go on after these rules may fulfil a condition they did not, or the other way round.
    fn disturb(&self, rules: &[Rule], cond: &Cond) -> bool {
        rules.iter().any(|rule| match rule.then {
            Then::Decide(_) => false,
            Then::Next => rule.sets.disturbs(cond),
            Then::Jump(number) => {
                let policy = self.draft.policies.get(number);
                rule.sets.disturbs(cond)
                    || policy.is_some_and(|policy| self.disturb(&policy.rules, cond))
            }
        })
    }

    /// Changes and a decision, and nothing else.
    fn ends_soon(&self, from: At, stop: Option<At>) -> bool {
        let mut at = from;
        while Some(at) != stop {
            match self.graph.what(at) {
                What::End(_) => return true,
                What::Change(_, next) => at = *next,
                What::Test(..) | What::Gone => return false,
            }
        }
        false
    }

    /// Whether all ways from here end before `stop`.
    fn ends(&self, from: At, stop: Option<At>) -> bool {
        stop.is_none_or(|stop| !self.graph.reached(from, Some(stop)).contains(&stop))
    }

    /// The first node where both sides meet, such that they share nothing before it and leave by it only.
    fn meeting(&self, yes: At, no: At, stop: Option<At>) -> Option<At> {
        let all = |from| self.graph.reached(from, stop);
        let (yes_all, no_all) = (all(yes), all(no));
        let common: Vec<At> = yes_all.intersection(&no_all).copied().collect();
        let is_end = |at: &At| matches!(self.graph.what(*at), What::End(_));
        for at in common.iter().copied().take(MEETINGS_MAX) {
            let before = |from: At| -> BTreeSet<At> {
                let mut seen = self.graph.reached(from, Some(at));
                seen.remove(&at);
                seen
            };
            let (yes, no) = (before(yes), before(no));
            let leaves = stop.is_some_and(|stop| yes.contains(&stop) || no.contains(&stop));
            if !leaves && yes.intersection(&no).all(is_end) {
                return Some(at);
            }
        }
        stop
    }
}
