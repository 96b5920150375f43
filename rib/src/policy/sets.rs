//! Named sets, and the lists that refer to them.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use bgp_core::attributes::{Community, ExtendedCommunity, LargeCommunity};
use foldhash::quality::FixedState;

use super::as_path_set::AsPathSet;
use super::community_set::CommunitySet;
use super::compile::{Builder, PolicyError, check};
use super::config::SetsConfig;
use super::prefix_set::PrefixSet;

/// What a list of a condition becomes: something to look up in.
pub(super) trait Set: Sized {
    /// What an item of the list means.
    type Item;

    /// Reads an item, which may stand for several.
    fn parse(text: &str, items: &mut Vec<Self::Item>) -> Result<(), String>;
    /// The set of these.
    fn build(items: Vec<Self::Item>) -> Result<Self, String>;
}

/// A list of a condition: its own items, then the named sets it refers to.
pub(super) type Sets<S> = Box<[Arc<S>]>;

/// All named sets of a configuration.
pub(super) struct NamedSets {
    pub(super) prefixes: Named<PrefixSet>,
    pub(super) as_paths: Named<AsPathSet>,
    pub(super) communities: Named<CommunitySet<Community>>,
    pub(super) large_communities: Named<CommunitySet<LargeCommunity>>,
    pub(super) ext_communities: Named<CommunitySet<ExtendedCommunity>>,
}

/// The named sets of a kind, each with the digest of what it holds.
pub(super) struct Named<S> {
    kind: &'static str,
    /// `None` if there was a mistake, which is told once.
    sets: BTreeMap<String, (u64, Option<Arc<S>>)>,
}

impl NamedSets {
    pub(super) fn compile(config: &SetsConfig, mistakes: &mut Vec<PolicyError>) -> Self {
        Self {
            prefixes: Named::compile("prefixes", &config.prefixes, mistakes),
            as_paths: Named::compile("as-paths", &config.as_paths, mistakes),
            communities: Named::compile("communities", &config.communities, mistakes),
            large_communities: Named::compile(
                "large-communities",
                &config.large_communities,
                mistakes,
            ),
            ext_communities: Named::compile("ext-communities", &config.ext_communities, mistakes),
        }
    }
}

impl<S: Set> Named<S> {
    fn compile(
        kind: &'static str,
        config: &BTreeMap<String, Vec<String>>,
        mistakes: &mut Vec<PolicyError>,
    ) -> Self {
        let mut sets = BTreeMap::new();
        for (name, texts) in config {
            let mut items = Vec::new();
            for (i, text) in texts.iter().enumerate() {
                let path = || format!("sets.{kind}.{name}[{i}]");
                check(mistakes, path, S::parse(text, &mut items));
            }
            let set = check(mistakes, || format!("sets.{kind}.{name}"), S::build(items));
            let digest = FixedState::default().hash_one(texts);
            sets.insert(name.clone(), (digest, set.map(Arc::new)));
        }
        Self { kind, sets }
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<&str> = self.sets.keys().map(String::as_str).collect();
        format!(
            "no set of {} is called `{name}`: define it under `[sets.{}]`, which has {}",
            self.kind,
            self.kind,
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        )
    }
}

impl Builder<'_> {
    /// Compiles a list; `None` if it is empty, and so no condition.
    pub(super) fn list<S: Set>(
        &mut self,
        path: &str,
        texts: &[String],
        named: &Named<S>,
    ) -> Option<Sets<S>> {
        let mut items = Vec::new();
        let mut sets = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            let parsed = match text.strip_prefix('@') {
                None => S::parse(text, &mut items),
                Some(name) => named.sets.get(name).map_or_else(
                    || Err(named.unknown(name)),
                    |(digest, set)| {
                        digest.hash(&mut self.digest);
                        sets.extend(set.clone());
                        Ok(())
                    },
                ),
            };
            self.check(|| format!("{path}[{i}]"), parsed);
        }
        if !items.is_empty() {
            let own = self.check(|| path.to_owned(), S::build(items));
            sets.extend(own.map(Arc::new));
        }
        (!texts.is_empty()).then(|| sets.into())
    }
}
