//! Follows a filter's ways, with what is known of variables on each: ways that know the same at the same step are one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::change::Change;
use super::evaluate::{Variables, as_numbers};
use super::graph::{Graph, Node, What as Goes};
use super::lower::{At, Program, What};
use super::test::{Judge, Outcome, communities, join, list_key, origin, tuple_size};
use super::value::{Attribute, NUMBER_MAX, Value};
use super::{Facts, Lost, Way, World};
use crate::ast::{Expr, ExprKind};
use crate::lexer::Place;

/// Most nodes of a graph.
const NODES_MAX: usize = 3_000;

/// A step, and what the variables that are still read are worth there. The greatest steps come first.
type State = (Reverse<At>, Variables);

struct Explorer<'a> {
    judge: Judge<'a>,
    program: &'a Program,
    /// States that were found, each with the number of its node.
    found: BTreeMap<State, usize>,
    /// Those of them that are to be followed.
    todo: BTreeMap<State, usize>,
    lost: &'a mut Lost,
    full: bool,
}

/// Makes the graph of a filter.
pub(super) fn explore(
    world: &World<'_>,
    program: &Program,
    facts: &Facts,
    lost: &mut Lost,
) -> Graph {
    let mut explorer = Explorer {
        judge: Judge { world, facts },
        program,
        found: BTreeMap::new(),
        todo: BTreeMap::new(),
        lost,
        full: false,
    };
    let start = explorer.go(program.start, Variables::new());
    let mut nodes: BTreeMap<usize, Node> = BTreeMap::new();
    let mut order = Vec::new();
    // Steps lead to smaller ones: whatever leads to a state was followed before it.
    while let Some((state, number)) = explorer.todo.pop_first() {
        let node = explorer.follow(state);
        nodes.insert(number, node);
        order.push(number);
    }
    renumbered(&nodes, &order, start)
}

/// Numbers nodes in the order in which they were followed.
fn renumbered(nodes: &BTreeMap<usize, Node>, order: &[usize], start: usize) -> Graph {
    let places: BTreeMap<usize, usize> = order.iter().enumerate().map(|(i, n)| (*n, i)).collect();
    let place = |number: &usize| places.get(number).copied().unwrap_or(0);
    let renumber = |node: &Node| Node {
        place: node.place,
        what: match &node.what {
            Goes::Test(cond, yes, no) => Goes::Test(cond.clone(), place(yes), place(no)),
            Goes::Change(changes, next) => Goes::Change(changes.clone(), place(next)),
            Goes::End(accept) => Goes::End(*accept),
            Goes::Gone => Goes::Gone,
        },
    };
    let nodes = order
        .iter()
        .filter_map(|number| nodes.get(number))
        .map(renumber);
    Graph {
        nodes: nodes.collect(),
        start: place(&start),
    }
}

impl Explorer<'_> {
    /// The node of the first step from here that depends on the route.
    fn go(&mut self, mut at: At, mut variables: Variables) -> usize {
        loop {
            let Some(step) = self.program.steps.get(at) else {
                return 0;
            };
            let next = match &step.what {
                What::Let(slot, expr, next) => {
                    let value = self.judge.world.constants.evaluate(expr, &variables);
                    variables.insert(*slot, value);
                    *next
                }
                What::Branch(test, yes, no) => match self.judge.judge(test, &variables) {
                    Outcome::Known(holds) => {
                        if holds {
                            *yes
                        } else {
                            *no
                        }
                    }
                    Outcome::Lost(what) => {
                        let what =
                            format!("{what}: the filter goes on as if the condition did not hold");
                        self.lose(step.place, what);
                        *no
                    }
                    Outcome::If(_) => return self.state(at, variables),
                },
                What::Lost(what, next) => {
                    self.lose(step.place, what.clone());
                    *next
                }
                What::End(_) | What::Assign(..) | What::Change(..) => {
                    return self.state(at, variables);
                }
            };
            at = next;
        }
    }

    fn state(&mut self, at: At, mut variables: Variables) -> usize {
        if let Some(step) = self.program.steps.get(at) {
            variables.retain(|slot, _| step.live.contains(slot));
        }
        let at = self.bounded(at);
        let state = (
            Reverse(at),
            if self.full {
                Variables::new()
            } else {
                variables
            },
        );
        let count = self.found.len();
        if let Some(number) = self.found.get(&state) {
            return *number;
        }
        self.found.insert(state.clone(), count);
        self.todo.insert(state, count);
        count
    }

    /// Too many nodes: the route is rejected.
    fn bounded(&mut self, at: At) -> At {
        if self.found.len() < NODES_MAX {
            return at;
        }
        if !self.full {
            let place = self
                .program
                .steps
                .get(at)
                .map(|step| step.place)
                .unwrap_or_default();
            let what =
                format!("the filter has more than {NODES_MAX} branches: from there on it rejects");
            self.lose(place, what);
        }
        self.full = true;
        // The second step rejects.
        1
    }

    fn lose(&mut self, place: Place, what: String) {
        self.lost.insert((place, what));
    }

    fn follow(&mut self, (Reverse(at), mut variables): State) -> Node {
        let Some(step) = self.program.steps.get(at) else {
            return Node {
                what: Goes::Gone,
                place: Place::default(),
            };
        };
        let place = step.place;
        let what = match &step.what {
            What::End(accept) => Goes::End(*accept),
            What::Branch(test, yes, no) => match self.judge.judge(test, &variables) {
                Outcome::If(cond) => {
                    let yes = self.go(*yes, variables.clone());
                    Goes::Test(cond, yes, self.go(*no, variables))
                }
                Outcome::Known(_) | Outcome::Lost(_) => Goes::Gone,
            },
            What::Assign(name, value, next) => {
                let changes = self.assign(name, value, &variables);
                self.changed(changes, name, place, &mut variables, *next)
            }
            What::Change(name, method, arguments, next) => {
                let values: Vec<_> = arguments
                    .iter()
                    .map(|expr| self.judge.world.constants.evaluate(expr, &variables))
                    .collect();
                let changes = self.change(name, method, &values);
                self.changed(changes, name, place, &mut variables, *next)
            }
            What::Let(..) | What::Lost(..) => Goes::Gone,
        };
        Node { what, place }
    }

    /// Goes on after a change: what variables remember of the attribute is not true any more.
    fn changed(
        &mut self,
        changes: Result<Vec<Change>, String>,
        name: &str,
        place: Place,
        variables: &mut Variables,
        next: At,
    ) -> Goes {
        let changes = changes.unwrap_or_else(|what| {
            self.lose(place, what);
            Vec::new()
        });
        for value in variables.values_mut() {
            if let Value::Attribute(attribute, _) = value
                && attribute.name().starts_with(name)
            {
                *value = Value::unknown(format!("`{name}` as it was before it changed"));
            }
        }
        Goes::Change(changes, self.go(next, std::mem::take(variables)))
    }

    /// `NAME = value`.
    fn assign(
        &self,
        name: &str,
        expr: &Expr,
        variables: &Variables,
    ) -> Result<Vec<Change>, String> {
        let evaluate = |expr: &Expr| self.judge.world.constants.evaluate(expr, variables);
        // `bgp_path = prepend(bgp_path, 65001)` and the like, as BIRD 1 has them.
        if let ExprKind::Call(method, arguments) = &expr.kind
            && let [
                Expr {
                    kind: ExprKind::Word(of),
                    ..
                },
                argument,
            ] = arguments.as_slice()
            && of == name
        {
            return self.change(name, method, &[evaluate(argument)]);
        }
        let value = evaluate(expr);
        if let Value::Unknown(what) = &value {
            return Err(format!("`{name}` set to {what}"));
        }
        let kernel = self.judge.facts.way == Way::Kernel;
        let change = match (name, &value) {
            ("bgp_local_pref", value) => number("local-pref", Attribute::LocalPref, value),
            ("bgp_med", value) => number("med", Attribute::Med, value),
            ("bgp_origin", Value::Word(word)) => {
                origin(word).map(|origin| Change::Put("origin", origin.to_owned()))
            }
            ("bgp_next_hop", Value::Ip(ip)) => Some(Change::NextHop(*ip)),
            ("krt_prefsrc", Value::Ip(ip)) if kernel => {
                Some(Change::Kernel("prefsrc", format!("\"{ip}\"")))
            }
            ("krt_metric", Value::Number(metric)) if kernel => {
                Some(Change::Kernel("metric", metric.to_string()))
            }
            ("bgp_community" | "bgp_large_community" | "bgp_ext_community", Value::Empty) => {
                self.list(name).map(Change::Clear)
            }
            ("bgp_path", Value::Empty) => Some(Change::Strip(vec![(0, NUMBER_MAX)])),
            (_, _) => None,
        };
        let change = change.ok_or_else(|| match is_attribute(name) {
            true => format!("`{name}` set to this"),
            false => format!("`{name}`, which windrose cannot set"),
        });
        change.map(|change| vec![change])
    }

    fn list(&self, name: &str) -> Option<&'static str> {
        list_of(name).and_then(list_key)
    }

    /// `NAME.METHOD(value)`.
    fn change(&self, name: &str, method: &str, values: &[Value]) -> Result<Vec<Change>, String> {
        let refused = || format!("`{name}.{method}` with this");
        let change = match (name, method, values) {
            ("bgp_med", "unset", []) => Change::Put("med", "remove".to_owned()),
            ("bgp_local_pref", "unset", []) => Change::Put("local-pref", "remove".to_owned()),
            ("bgp_path", "prepend", [Value::Number(asn)]) => {
                let asn = u32::try_from(*asn).ok().filter(|asn| *asn != 0);
                Change::Prepend(asn.ok_or_else(refused)?, 1)
            }
            ("bgp_path", "empty", []) => Change::Strip(vec![(0, NUMBER_MAX)]),
            ("bgp_path", "delete" | "filter", [value]) if !matches!(value, Value::Unknown(_)) => {
                let named = asns(value).ok_or_else(refused)?;
                Change::Strip(match method {
                    "delete" => named,
                    _ => others(named),
                })
            }
            (_, "empty" | "unset", []) if self.list(name).is_some() => {
                Change::Clear(self.list(name).unwrap_or_default())
            }
            (_, "add", [value]) if list_of(name).is_some() => {
                let (key, items) = self.items(name, value)?;
                return Ok(items
                    .into_iter()
                    .map(|item| Change::Add(key, item))
                    .collect());
            }
            (_, "delete", [value]) if list_of(name).is_some() => {
                let (key, items) = self.items(name, value)?;
                Change::Remove(key, items)
            }
            (_, _, _) => match values.iter().find_map(unknown) {
                Some(what) => return Err(format!("`{name}.{method}` with {what}")),
                None => return Err(refused()),
            },
        };
        Ok(vec![change])
    }

    /// The communities of a value, for a list.
    fn items(&self, name: &str, value: &Value) -> Result<(&'static str, Vec<String>), String> {
        let refused = || format!("`{name}` with this");
        let attribute = list_of(name).ok_or_else(refused)?;
        let key = list_key(attribute).ok_or_else(refused)?;
        let items = match value {
            Value::Tuple(parts) if parts.len() == tuple_size(attribute) => vec![join(parts)],
            Value::Extended(text) => vec![text.clone()],
            Value::Set(set) => communities(attribute, set)?,
            Value::Unknown(what) => return Err(format!("`{name}` with {what}")),
            Value::Number(_)
            | Value::Flag(_)
            | Value::Text(_)
            | Value::Ip(_)
            | Value::Prefix(_)
            | Value::Word(_)
            | Value::Tuple(_)
            | Value::Mask(_)
            | Value::Empty
            | Value::Attribute(..) => return Err(refused()),
        };
        Ok((key, items))
    }
}

/// The AS numbers that a number or a set stands for.
fn asns(value: &Value) -> Option<Vec<(u32, u32)>> {
    match value.as_set() {
        Some(set) => as_numbers(set),
        None => value.as_asn().map(|asn| vec![(asn, asn)]),
    }
}

/// All AS numbers but these.
fn others(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let (mut all, mut next) = (Vec::new(), Some(0_u32));
    for (first, last) in ranges {
        let Some(from) = next else {
            break;
        };
        if let Some(before) = first.checked_sub(1).filter(|before| *before >= from) {
            all.push((from, before));
        }
        next = last.checked_add(1).map(|after| after.max(from));
    }
    all.extend(next.map(|from| (from, NUMBER_MAX)));
    all
}

fn unknown(value: &Value) -> Option<&str> {
    if let Value::Unknown(what) = value {
        Some(what)
    } else {
        None
    }
}

fn is_attribute(name: &str) -> bool {
    [
        "bgp_local_pref",
        "bgp_med",
        "bgp_origin",
        "bgp_next_hop",
        "bgp_path",
    ]
    .contains(&name)
        || list_of(name).is_some()
}

fn list_of(name: &str) -> Option<Attribute> {
    match name {
        "bgp_community" => Some(Attribute::Communities),
        "bgp_large_community" => Some(Attribute::LargeCommunities),
        "bgp_ext_community" => Some(Attribute::ExtCommunities),
        _ => None,
    }
}

/// A number, or itself and so much more or less.
fn number(key: &'static str, itself: Attribute, value: &Value) -> Option<Change> {
    let text = match value {
        Value::Number(number) => u32::try_from(*number).ok()?.to_string(),
        Value::Attribute(attribute, more) if *attribute == itself => match *more {
            0 => return None,
            more if more > 0 => format!("+{more}"),
            less => less.to_string(),
        },
        Value::Flag(_)
        | Value::Text(_)
        | Value::Ip(_)
        | Value::Prefix(_)
        | Value::Word(_)
        | Value::Tuple(_)
        | Value::Extended(_)
        | Value::Set(_)
        | Value::Mask(_)
        | Value::Empty
        | Value::Attribute(..)
        | Value::Unknown(_) => return None,
    };
    Some(Change::Put(key, text))
}
