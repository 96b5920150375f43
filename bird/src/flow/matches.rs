//! `match` of a rule: what of a condition one rule can say.

use std::collections::BTreeMap;

/// Conditions that must all hold; of a list, one item.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Cond {
    pub(crate) keys: BTreeMap<&'static str, Vec<String>>,
    /// Conditions that must not hold all together.
    pub(crate) not: Option<Box<Self>>,
}

/// How deep `not` may stand in `not`.
const NOT_DEPTH_MAX: usize = 6;

impl Cond {
    pub(crate) fn of(key: &'static str, items: Vec<String>) -> Self {
        Self {
            keys: BTreeMap::from([(key, items)]),
            not: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.not.is_none()
    }

    /// Holds where this does not.
    pub(crate) fn negated(&self) -> Self {
        match (&self.not, self.keys.is_empty()) {
            (Some(not), true) => (**not).clone(),
            (Some(_) | None, _) => Self {
                keys: BTreeMap::new(),
                not: Some(Box::new(self.clone())),
            },
        }
    }

    fn depth(&self) -> usize {
        self.not.as_ref().map_or(0, |not| 1 + not.depth())
    }

    /// The list of its only key.
    fn only(&self) -> Option<(&'static str, &Vec<String>)> {
        match (self.keys.len(), &self.not) {
            (1, None) => self.keys.iter().next().map(|(key, items)| (*key, items)),
            (_, _) => None,
        }
    }

    /// Holds where both do, if one rule can say that.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let mut both = self.clone();
        for (key, items) in &other.keys {
            match both.keys.get(key) {
                Some(mine) if mine == items => {}
                Some(_) => return self.and_twice_negated(other),
                None => drop(both.keys.insert(key, items.clone())),
            }
        }
        both.not = match (both.not.take(), &other.not) {
            (mine, None) => mine,
            (None, Some(theirs)) => Some(theirs.clone()),
            (Some(mine), Some(theirs)) => Some(Box::new(mine.or_same_key(theirs)?)),
        };
        (both.depth() <= NOT_DEPTH_MAX).then_some(both)
    }

    /// `not = { not = … }` is a second place for the same key.
    fn and_twice_negated(&self, other: &Self) -> Option<Self> {
        let (mut one, two) = match (&self.not, &other.not) {
            (None, _) => (self.clone(), other),
            (_, None) => (other.clone(), self),
            (Some(_), Some(_)) => return None,
        };
        one.not = Some(Box::new(two.negated()));
        (one.depth() <= NOT_DEPTH_MAX).then_some(one)
    }

    fn or_same_key(&self, other: &Self) -> Option<Self> {
        let ((key, mine), (same, theirs)) = (self.only()?, other.only()?);
        if key != same {
            return None;
        }
        let mut items = mine.clone();
        let new = theirs.iter().filter(|item| !mine.contains(item));
        items.extend(new.cloned());
        Some(Self::of(key, items))
    }

    /// Holds where one of them does, if one rule can say that.
    pub(crate) fn or(&self, other: &Self) -> Option<Self> {
        let neither = || self.negated().and(&other.negated());
        self.or_same_key(other)
            .or_else(|| neither().map(|neither| neither.negated()))
    }

    /// What it looks at.
    pub(crate) fn reads(&self) -> Vec<(&'static str, &Vec<String>)> {
        let mut all: Vec<_> = self.keys.iter().map(|(key, items)| (*key, items)).collect();
        all.extend(self.not.iter().flat_map(|not| not.reads()));
        all
    }

    /// As TOML.
    pub(crate) fn toml(&self) -> String {
        let mut parts: Vec<_> = self
            .keys
            .iter()
            .map(|(key, items)| format!("{key} = {}", crate::toml::list(items)))
            .collect();
        parts.extend(self.not.iter().map(|not| format!("not = {}", not.toml())));
        format!("{{ {} }}", parts.join(", "))
    }
}
