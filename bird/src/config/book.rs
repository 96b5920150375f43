//! Policies under names, and the chains of sessions.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Context;
use super::session::{Channel, Neighbor, Session, Use};
use crate::flow::{Cond, Draft, Facts, Filter, Policy, Rule, Sets, Then, Way};
use crate::lexer::Place;

/// windrose's bound on names.
const NAME_MAX: usize = 60;

/// All policies that are written.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// The first policy's name, and all of them by their own.
    drafts: Vec<(Draft, String)>,
    named: Vec<(String, Policy, Vec<String>, Place)>,
    names: BTreeSet<String>,
}

impl Book {
    /// The name of a policy that does this; it is written if it is none of the built-in ones.
    pub(crate) fn add(&mut self, wanted: &str, draft: &Draft, place: Place) -> String {
        if let Some(accept) = draft.foregone() {
            return if accept { "accept" } else { "reject" }.to_owned();
        }
        if let Some((_, name)) = self.drafts.iter().find(|(known, _)| known == draft) {
            return name.clone();
        }
        let first = self.free(wanted);
        let others = 1..draft.policies.len();
        let mut names = vec![first.clone()];
        names.extend(others.map(|number| self.free(&format!("{first}-{}", number + 1))));
        for (policy, name) in draft.policies.iter().zip(&names) {
            self.named
                .push((name.clone(), policy.clone(), names.clone(), place));
        }
        self.drafts.push((draft.clone(), first.clone()));
        first
    }

    /// Writes a policy under this name, be it one of the built-in ones.
    pub(crate) fn write_as(&mut self, name: &str, draft: &Draft) {
        let others = 1..draft.policies.len();
        let mut names = vec![name.to_owned()];
        names.extend(others.map(|number| format!("{name}-{}", number + 1)));
        for (policy, name) in draft.policies.iter().zip(&names) {
            let place = Place::default();
            self.named
                .push((name.clone(), policy.clone(), names.clone(), place));
        }
    }

    /// Whether a policy of this name takes tags off.
    pub(crate) fn clears_tags(&self, name: &str) -> bool {
        self.drafts
            .iter()
            .any(|(draft, known)| known == name && draft.scratch)
    }

    /// The name, or one like it that is not taken.
    fn free(&mut self, wanted: &str) -> String {
        let mut plain: String = wanted
            .chars()
            .map(|c| if c.is_control() || c == '@' { '-' } else { c })
            .collect();
        while plain.len() > NAME_MAX - 6 {
            plain.pop();
        }
        let built_in = ["accept", "reject", ""].contains(&plain.as_str());
        let mut name = if built_in {
            format!("bird-{plain}")
        } else {
            plain.clone()
        };
        let mut number = 1_usize;
        while !self.names.insert(name.clone()) {
            number += 1;
            name = format!("{plain}-{number}");
        }
        name
    }

    /// All of it as TOML.
    pub(crate) fn write(&self, context: &Context<'_>, out: &mut String) {
        for (name, policy, names, place) in &self.named {
            let _ = write!(
                out,
                "\n# {}\n[[policy]]\nname = {}\n",
                context.show(*place),
                crate::toml::text(name)
            );
            if let Some(accept) = policy.default {
                let _ = writeln!(out, "default = \"{}\"", verdict(accept));
            }
            for rule in &policy.rules {
                rule.write(context, names, out);
            }
        }
    }
}

fn verdict(accept: bool) -> &'static str {
    if accept { "accept" } else { "reject" }
}

impl Rule {
    fn write(&self, context: &Context<'_>, names: &[String], out: &mut String) {
        let comment = match self.place.line {
            0 => String::new(),
            _ => format!(" # {}", context.show(self.place)),
        };
        let _ = writeln!(out, "[[policy.rule]]{comment}");
        if !self.cond.is_empty() {
            let _ = writeln!(out, "match = {}", self.cond.toml());
        }
        if !self.sets.is_empty() {
            let _ = writeln!(out, "set = {}", self.sets.toml());
        }
        let _ = match self.then {
            Then::Decide(accept) => writeln!(out, "then = \"{}\"", verdict(accept)),
            Then::Next => writeln!(out, "then = \"next\""),
            Then::Jump(number) => {
                let name = names.get(number).map(String::as_str).unwrap_or_default();
                writeln!(out, "then = {{ policy = {} }}", crate::toml::text(name))
            }
        };
    }
}

/// A policy without conditions: these changes, and the next one has its say.
pub(crate) fn rule(cond: Cond, sets: Sets, then: Then, place: Place) -> Rule {
    Rule {
        cond,
        sets,
        then,
        place,
    }
}

impl Context<'_> {
    /// The name of the policy that does to a session's routes what its filters do.
    pub(crate) fn policy(&mut self, book: &mut Book, session: &Session, way: Way) -> String {
        let mut drafts = Vec::new();
        let mut at = session.place;
        let mut wanted = format!(
            "{}-{}",
            session.name,
            if way == Way::Import {
                "import"
            } else {
                "export"
            }
        );
        for (six, channel) in &session.channels {
            let (used, draft) = self.draft(session, channel, *six, way);
            if let Some(used) = used {
                at = used.place;
                wanted = used.name(way);
            }
            drafts.push((*six, draft));
        }
        let mut rest = drafts.iter();
        let Some((_, first)) = rest.next() else {
            return "reject".to_owned();
        };
        if rest.all(|(_, draft)| draft == first) {
            return book.add(&wanted, first, at);
        }
        let used = session.channels.values().filter_map(|channel| match way {
            Way::Import => channel.import.as_ref(),
            Way::Export | Way::Kernel => channel.export.as_ref(),
        });
        let owners: BTreeSet<&str> = used.map(|used| used.owner.as_str()).collect();
        let owner = match owners.first() {
            Some(owner) if owners.len() == 1 => owner,
            Some(_) | None => session.name.as_str(),
        };
        wanted = format!(
            "{owner}-{}",
            if way == Way::Import {
                "import"
            } else {
                "export"
            }
        );
        book.add(&wanted, &by_family(&drafts, at), at)
    }

    fn draft<'a>(
        &mut self,
        session: &Session,
        channel: &'a Channel,
        six: bool,
        way: Way,
    ) -> (Option<&'a Use>, Draft) {
        let used = if way == Way::Import {
            channel.import.as_ref()
        } else {
            channel.export.as_ref()
        };
        // BIRD: all is imported, and nothing exported, if the file does not say.
        let default = if way == Way::Import {
            Filter::All
        } else {
            Filter::None
        };
        let filter = used.map_or(&default, |used| &used.filter);
        let import = way == Way::Import;
        let from = match session.neighbor {
            Neighbor::Address(address) => Some(address),
            Neighbor::Range(_) => None,
        };
        let facts = Facts {
            six,
            way,
            net: None,
            source: import.then_some("RTS_BGP"),
            proto: from.filter(|_| import).map(|_| session.name.clone()),
            from: from.filter(|_| import),
        };
        let place = used.map_or(session.place, |used| used.place);
        let draft = self.translate(filter, place, &facts);
        (used, draft)
    }

    /// Translates a filter, and notes what could not be.
    pub(crate) fn translate(&mut self, filter: &Filter, place: Place, facts: &Facts) -> Draft {
        self.world.translate(filter, place, facts, &mut self.lost)
    }
}

impl Use {
    /// What its policy is called.
    fn name(&self, way: Way) -> String {
        match &self.filter {
            Filter::Named(name) => name.clone(),
            Filter::All | Filter::None | Filter::Body(_) | Filter::Where(_) => {
                let way = if way == Way::Import {
                    "import"
                } else {
                    "export"
                };
                format!("{}-{way}", self.owner)
            }
        }
    }
}

/// One policy of those of both families.
pub(crate) fn by_family(drafts: &[(bool, Draft)], place: Place) -> Draft {
    let mut all = Draft {
        policies: vec![Policy {
            rules: Vec::new(),
            default: Some(false),
        }],
        scratch: false,
    };
    let mut rules = Vec::new();
    for (six, draft) in drafts {
        let cond = Cond::of(
            "family",
            vec![if *six { "ipv6" } else { "ipv4" }.to_owned()],
        );
        let then = match draft.foregone() {
            Some(accept) => Then::Decide(accept),
            None => Then::Jump(all.policies.len()),
        };
        rules.push(rule(cond, Sets::default(), then, place));
        if let Then::Jump(base) = then {
            let moved = draft.policies.iter().cloned().map(|mut policy| {
                for rule in &mut policy.rules {
                    if let Then::Jump(number) = rule.then {
                        rule.then = Then::Jump(number + base);
                    }
                }
                policy
            });
            all.policies.extend(moved);
            all.scratch |= draft.scratch;
        }
    }
    if let Some(first) = all.policies.first_mut() {
        first.rules = rules;
    }
    all
}
