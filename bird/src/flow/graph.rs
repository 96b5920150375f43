//! The tests and changes that are left when all that was known beforehand is gone.

use std::collections::BTreeSet;

use super::change::Change;
use super::matches::Cond;
use crate::lexer::Place;

/// A node, by its place in [`Graph::nodes`]. Edges lead to later ones only.
pub(super) type At = usize;

#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) start: At,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) what: What,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    End(bool),
    Test(Cond, At, At),
    Change(Vec<Change>, At),
    /// Merged into another, or never reached.
    Gone,
}

impl Graph {
    pub(super) fn what(&self, at: At) -> &What {
        self.nodes.get(at).map_or(&What::Gone, |node| &node.what)
    }

    pub(super) fn place(&self, at: At) -> Place {
        self.nodes
            .get(at)
            .map(|node| node.place)
            .unwrap_or_default()
    }

    fn next(&self, at: At) -> Vec<At> {
        match self.what(at) {
            What::End(_) | What::Gone => Vec::new(),
            What::Test(_, yes, no) => vec![*yes, *no],
            What::Change(_, next) => vec![*next],
        }
    }

    /// All that is reached from a node without going on from `stop`; itself, and `stop`, among them.
    pub(super) fn reached(&self, from: At, stop: Option<At>) -> BTreeSet<At> {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![from]);
        while let Some(at) = todo.pop() {
            if seen.insert(at) && Some(at) != stop {
                todo.extend(self.next(at));
            }
        }
        seen
    }

    /// Makes one test of several where one rule can say it.
    pub(super) fn simplified(mut self) -> Self {
        for at in (0..self.nodes.len()).rev() {
            while self.merge(at) {}
        }
        self
    }

    /// How many edges lead to a node.
    fn entries(&self, to: At) -> usize {
        let edges = (0..self.nodes.len()).flat_map(|at| self.next(at));
        edges.filter(|next| *next == to).count() + usize::from(self.start == to)
    }

    fn merge(&mut self, at: At) -> bool {
        let What::Test(cond, yes, no) = self.what(at).clone() else {
            return false;
        };
        if yes == no {
            // It makes no difference.
            let to = yes;
            self.redirect(at, to);
            return false;
        }
        if let What::Test(inner, inner_yes, inner_no) = self.what(yes).clone()
            && self.entries(yes) == 1
        {
            let both = |inner: &Cond| cond.and(inner);
            if inner_no == no
                && let Some(both) = both(&inner)
            {
                return self.replace(at, yes, What::Test(both, inner_yes, no));
            }
            if inner_yes == no
                && let Some(both) = both(&inner.negated())
            {
                return self.replace(at, yes, What::Test(both, inner_no, no));
            }
        }
        if let What::Test(inner, inner_yes, inner_no) = self.what(no).clone()
            && self.entries(no) == 1
        {
            if inner_yes == yes
                && let Some(either) = cond.or(&inner)
            {
                return self.replace(at, no, What::Test(either, yes, inner_no));
            }
            if inner_no == yes
                && let Some(either) = cond.or(&inner.negated())
            {
                return self.replace(at, no, What::Test(either, yes, inner_yes));
            }
        }
        false
    }

    fn replace(&mut self, at: At, gone: At, what: What) -> bool {
        if let Some(node) = self.nodes.get_mut(at) {
            node.what = what;
        }
        if let Some(node) = self.nodes.get_mut(gone) {
            node.what = What::Gone;
        }
        true
    }

    /// Leads whoever came to `gone` to another node.
    fn redirect(&mut self, gone: At, to: At) {
        let moved = |at: &mut At| {
            if *at == gone {
                *at = to;
            }
        };
        moved(&mut self.start);
        for node in &mut self.nodes {
            match &mut node.what {
                What::End(_) | What::Gone => {}
                What::Test(_, yes, no) => {
                    moved(yes);
                    moved(no);
                }
                What::Change(_, next) => moved(next),
            }
        }
        if let Some(node) = self.nodes.get_mut(gone) {
            node.what = What::Gone;
        }
    }
}
