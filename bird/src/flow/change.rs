//! `set` of a rule: changes of a route, one after the other, as one table.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::matches::Cond;
use super::test::span;

/// windrose's bound for one rule.
const PREPEND_MAX: u8 = 32;

/// A change of one attribute.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Change {
    /// `local-pref`, `med`, `origin`: the key and its value.
    Put(&'static str, String),
    NextHop(IpAddr),
    Prepend(u32, u8),
    /// These AS numbers, each range from and to, are taken out of the path.
    Strip(Vec<(u32, u32)>),
    /// A list of communities by its key.
    Add(&'static str, String),
    Remove(&'static str, Vec<String>),
    Clear(&'static str),
    /// For the kernel: `prefsrc`, `metric`.
    Kernel(&'static str, String),
}

/// Changes that a rule makes at once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sets {
    pub(crate) puts: BTreeMap<&'static str, String>,
    pub(crate) next_hop: Option<IpAddr>,
    /// Taken out of the path, before anything is prepended.
    pub(crate) strip: Vec<(u32, u32)>,
    pub(crate) prepend: Option<(u32, u8)>,
    pub(crate) lists: BTreeMap<&'static str, Edit>,
    pub(crate) kernel: BTreeMap<&'static str, String>,
    pub(crate) tag: Option<u32>,
}

/// A change of a list: cleared, then less these, then with those.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Edit {
    pub(crate) clear: bool,
    pub(crate) remove: Vec<String>,
    pub(crate) add: Vec<String>,
}

impl Sets {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it changes what peers may see.
    pub(crate) fn is_for_peers(&self) -> bool {
        let rest = Self {
            kernel: BTreeMap::new(),
            tag: None,
            ..self.clone()
        };
        !rest.is_empty()
    }

    /// Puts one more change behind; `false` if one rule cannot make both.
    pub(crate) fn then(&mut self, change: &Change) -> bool {
        match change {
            Change::Put(key, value) => {
                let relative = value.starts_with(['+', '-']);
                if relative && self.puts.contains_key(key) {
                    return false;
                }
                self.puts.insert(key, value.clone());
            }
            Change::NextHop(address) => self.next_hop = Some(*address),
            Change::Prepend(asn, count) => match self.prepend {
                None => self.prepend = Some((*asn, *count)),
                Some((same, before)) if same == *asn && before + count <= PREPEND_MAX => {
                    self.prepend = Some((same, before + count));
                }
                Some(_) => return false,
            },
            Change::Strip(_) if self.prepend.is_some() => return false,
            Change::Strip(ranges) => self.strip.extend(ranges),
            Change::Add(key, item) => {
                let edit = self.lists.entry(key).or_default();
                if !edit.add.contains(item) {
                    edit.add.push(item.clone());
                }
            }
            Change::Remove(key, items) => {
                let edit = self.lists.entry(key).or_default();
                edit.add
                    .retain(|added| !items.iter().any(|item| may_meet(item, added)));
                edit.remove.extend(items.iter().cloned());
            }
            Change::Clear(key) => {
                let clear = true;
                let edit = Edit {
                    clear,
                    ..Edit::default()
                };
                self.lists.insert(key, edit);
            }
            Change::Kernel(key, value) => drop(self.kernel.insert(key, value.clone())),
        }
        true
    }

    /// Changes of one rule after those of another, as one; `None` if that cannot be said.
    pub(crate) fn followed_by(mut self, later: &Self) -> Option<Self> {
        let puts = later
            .puts
            .iter()
            .map(|(key, value)| Change::Put(key, value.clone()));
        let mut changes: Vec<Change> = puts.collect();
        changes.extend(later.next_hop.map(Change::NextHop));
        let strips = !later.strip.is_empty();
        changes.extend(strips.then(|| Change::Strip(later.strip.clone())));
        changes.extend(
            later
                .prepend
                .map(|(asn, count)| Change::Prepend(asn, count)),
        );
        for (key, edit) in &later.lists {
            changes.extend(edit.clear.then_some(Change::Clear(key)));
            changes.push(Change::Remove(key, edit.remove.clone()));
            changes.extend(edit.add.iter().map(|item| Change::Add(key, item.clone())));
        }
        let kernel = later.kernel.iter();
        changes.extend(kernel.map(|(key, value)| Change::Kernel(key, value.clone())));
        changes
            .iter()
            .all(|change| self.then(change))
            .then_some(self)
    }

    /// Whether a condition may hold before and not after, or the other way round.
    pub(crate) fn disturbs(&self, cond: &Cond) -> bool {
        let reads = cond.reads();
        reads.iter().any(|(key, items)| match *key {
            "local-pref" | "med" | "origin" => self.puts.contains_key(key),
            "next-hop" => self.next_hop.is_some(),
            "tag" => self.tag.is_some(),
            "as-path" | "as-path-contains" | "as-path-length" | "origin-as" | "neighbor-as" => {
                self.prepend.is_some() || !self.strip.is_empty()
            }
            key => self.lists.get(key).is_some_and(|edit| edit.touches(items)),
        })
    }

    /// As TOML.
    pub(crate) fn toml(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        for (key, value) in &self.puts {
            let value = match value.bytes().all(|b| b.is_ascii_digit()) {
                true => value.clone(),
                false => crate::toml::text(value),
            };
            parts.push(format!("{key} = {value}"));
        }
        let next_hop = self.next_hop.iter();
        parts.extend(next_hop.map(|ip| format!("next-hop = \"{ip}\"")));
        for (key, edit) in &self.lists {
            parts.push(format!("{key} = {}", edit.toml()));
        }
        if !self.strip.is_empty() {
            let ranges: Vec<_> = self.strip.iter().map(span).collect();
            let ranges = crate::toml::list(&ranges);
            parts.push(format!("as-path = {{ remove = {ranges} }}"));
        }
        if let Some((asn, count)) = self.prepend {
            parts.push(format!("prepend = {{ asn = {asn}, count = {count} }}"));
        }
        for (key, value) in &self.kernel {
            parts.push(format!("{key} = {value}"));
        }
        parts.extend(self.tag.iter().map(|tag| format!("tag = {tag}")));
        format!("{{ {} }}", parts.join(", "))
    }
}

impl Edit {
    fn touches(&self, items: &[String]) -> bool {
        let changed = self.remove.iter().chain(&self.add);
        self.clear
            || changed
                .clone()
                .any(|changed| items.iter().any(|item| may_meet(item, changed)))
    }

    fn toml(&self) -> String {
        let mut parts = Vec::new();
        if self.clear {
            parts.push("replace = []".to_owned());
        }
        for (key, list) in [("remove", &self.remove), ("add", &self.add)] {
            if !list.is_empty() {
                parts.push(format!("{key} = {}", crate::toml::list(list)));
            }
        }
        format!("{{ {} }}", parts.join(", "))
    }
}

/// Whether two patterns of communities may stand for the same one.
fn may_meet(one: &str, other: &str) -> bool {
    if one.starts_with('@') || other.starts_with('@') {
        return true;
    }
    let (one, other): (Vec<_>, Vec<_>) = (one.split(':').collect(), other.split(':').collect());
    let parts = one.iter().zip(&other);
    one.len() == other.len() && parts.clone().all(|(a, b)| a == b || *a == "*" || *b == "*")
}
