//! Functions in the places where they are called, variables as slots, conditions as branches: built from the end, so
//! that each step knows the steps after it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{Filter, Lost, World};
use crate::ast::{Expr, ExprKind, Item, Op, Stmt, StmtKind};
use crate::lexer::Place;

/// Most steps of a filter with all it calls.
const STEPS_MAX: usize = 20_000;
/// How deep functions call each other.
const DEPTH_MAX: usize = 10;
/// Most calls of functions of a filter with all that it calls.
const CALLS_MAX: usize = 2_000;

/// A step, by its place in [`Program::steps`].
pub(super) type At = usize;

/// A filter, ready to be followed. Each step leads to earlier ones only.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) start: At,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) what: What,
    pub(super) place: Place,
    /// Variables that are read from here on, before they are written.
    pub(super) live: Rc<BTreeSet<usize>>,
}

#[derive(Debug)]
pub(super) enum What {
    End(bool),
    Let(usize, Expr, At),
    Branch(Expr, At, At),
    /// `NAME = …`.
    Assign(String, Expr, At),
    /// `NAME.METHOD(…)`.
    Change(String, String, Vec<Expr>, At),
    Lost(String, At),
}

/// Where names are found, and where `return` leads.
#[derive(Clone, Debug, Default)]
struct Scope {
    names: BTreeMap<String, usize>,
    /// The slot for what is returned, and the step after the call; `None` in a filter.
    returns: Option<(usize, At)>,
    depth: usize,
}

struct Lowering<'a> {
    world: &'a World<'a>,
    steps: Vec<Step>,
    slots: usize,
    calls: usize,
    lost: &'a mut Lost,
    full: bool,
}

/// Prepares a filter.
pub(super) fn lower(world: &World<'_>, filter: &Filter, place: Place, lost: &mut Lost) -> Program {
    let mut lowering = Lowering {
        world,
        steps: Vec::new(),
        slots: 0,
        calls: 0,
        lost,
        full: false,
    };
    let accept = lowering.push(What::End(true), place);
    let reject = lowering.push(What::End(false), place);
    let scope = Scope::default();
    let start = match filter {
        Filter::All => accept,
        Filter::None => reject,
        Filter::Body(body) => lowering.block(body, &scope, reject),
        Filter::Where(expr) => lowering.branch(expr, &scope, accept, reject),
        Filter::Named(name) => match world.conf.filters.get(name) {
            Some(body) => lowering.block(body, &scope, reject),
            None => {
                let what = format!("there is no filter `{name}`");
                lowering.lost.insert((place, what));
                reject
            }
        },
    };
    let steps = lowering.steps;
    Program { steps, start }
}

impl Lowering<'_> {
    fn push(&mut self, what: What, place: Place) -> At {
        let live = self.live(&what);
        if self.steps.len() >= STEPS_MAX {
            if !self.full {
                let what =
                    format!("the filter has more than {STEPS_MAX} steps with all that it calls");
                self.lost.insert((place, what));
            }
            self.full = true;
            // The second step rejects.
            return 1;
        }
        self.steps.push(Step { what, place, live });
        self.steps.len() - 1
    }

    fn live(&self, what: &What) -> Rc<BTreeSet<usize>> {
        let of = |at: &At| self.steps.get(*at).map(|step| Rc::clone(&step.live));
        let of = |at: &At| of(at).unwrap_or_default();
        let mut reads = BTreeSet::new();
        let after = match what {
            What::End(_) => return Rc::default(),
            What::Let(slot, expr, next) => {
                slots(expr, &mut reads);
                let after = of(next);
                if !after.contains(slot) && reads.is_subset(&after) {
                    return after;
                }
                let mut all = (*after).clone();
                all.remove(slot);
                Rc::new(all)
            }
            What::Branch(expr, yes, no) => {
                slots(expr, &mut reads);
                let (yes, no) = (of(yes), of(no));
                if no.is_subset(&yes) {
                    yes
                } else {
                    Rc::new(yes.union(&no).copied().collect())
                }
            }
            What::Assign(_, expr, next) => {
                slots(expr, &mut reads);
                of(next)
            }
            What::Change(_, _, arguments, next) => {
                arguments.iter().for_each(|expr| slots(expr, &mut reads));
                of(next)
            }
            What::Lost(_, next) => of(next),
        };
        if reads.is_subset(&after) {
            return after;
        }
        Rc::new(after.union(&reads).copied().collect())
    }

    fn slot(&mut self) -> usize {
        self.slots += 1;
        self.slots
    }

    /// Statements, before `next`.
    fn block(&mut self, body: &[Stmt], scope: &Scope, next: At) -> At {
        let mut scope = scope.clone();
        for stmt in body {
            if let StmtKind::Declare(name, _) = &stmt.kind {
                let slot = self.slot();
                scope.names.insert(name.clone(), slot);
            }
        }
        let backwards = body.iter().rev();
        backwards.fold(next, |next, stmt| self.statement(stmt, &scope, next))
    }

    fn statement(&mut self, stmt: &Stmt, scope: &Scope, next: At) -> At {
        let place = stmt.place;
        match &stmt.kind {
            StmtKind::Nothing => next,
            StmtKind::Decide(accept) => self.push(What::End(*accept), place),
            StmtKind::Unknown(what) => self.push(What::Lost(what.clone(), next), place),
            StmtKind::Block(body) => self.block(body, scope, next),
            StmtKind::Return(value) => match (&scope.returns, value) {
                (Some((slot, after)), Some(value)) => self.assign(*slot, value, scope, *after),
                (Some((_, after)), None) => *after,
                (None, _) => self.push(
                    What::Lost("`return` outside of a function".to_owned(), next),
                    place,
                ),
            },
            StmtKind::Declare(_, None) => next,
            StmtKind::Declare(name, Some(value)) => match scope.names.get(name) {
                Some(slot) => self.assign(*slot, value, scope, next),
                None => next,
            },
            StmtKind::Assign(name, value) => match scope.names.get(name) {
                Some(slot) => self.assign(*slot, value, scope, next),
                None => self.with(vec![value], scope, place, next, |values, next| {
                    let [value] = <[Expr; 1]>::try_from(values).ok()?;
                    Some(What::Assign(name.clone(), value, next))
                }),
            },
            StmtKind::Change(name, method, arguments) => self.with(
                arguments.iter().collect(),
                scope,
                place,
                next,
                |values, next| Some(What::Change(name.clone(), method.clone(), values, next)),
            ),
            StmtKind::Call(call) => self.with(vec![call], scope, place, next, |values, next| {
                // One of ours is a slot now, and has done what it does.
                let name = values.iter().find_map(called)?;
                Some(What::Lost(format!("`{name}(…)`"), next))
            }),
            StmtKind::If(arms, otherwise) => {
                let otherwise = otherwise.as_ref();
                let mut no = otherwise.map_or(next, |stmt| self.statement(stmt, scope, next));
                for (test, then) in arms.iter().rev() {
                    let yes = self.statement(then, scope, next);
                    no = self.branch(test, scope, yes, no);
                }
                no
            }
            StmtKind::Case(of, arms, otherwise) => self.case(of, arms, otherwise, scope, next),
        }
    }

    fn case(
        &mut self,
        of: &Expr,
        arms: &[(Expr, Vec<Stmt>)],
        otherwise: &[Stmt],
        scope: &Scope,
        next: At,
    ) -> At {
        let mut no = self.block(otherwise, scope, next);
        for (labels, body) in arms.iter().rev() {
            let yes = self.block(body, scope, next);
            // A single label may be of a kind that has no sets.
            let mut right = (Op::In, labels.clone());
            if let ExprKind::Set(items) = &labels.kind
                && let [Item::One(only)] = items.as_slice()
            {
                right = (Op::Equal, only.clone());
            }
            let (op, right) = right;
            let kind = ExprKind::Binary(op, Box::new(of.clone()), Box::new(right));
            let place = labels.place;
            no = self.branch(&Expr { kind, place }, scope, yes, no);
        }
        no
    }

    /// A step with values: what they call comes before it. Without a step, only the calls.
    fn with(
        &mut self,
        values: Vec<&Expr>,
        scope: &Scope,
        place: Place,
        next: At,
        step: impl FnOnce(Vec<Expr>, At) -> Option<What>,
    ) -> At {
        let mut calls = Vec::new();
        let values = values
            .into_iter()
            .map(|value| self.resolve(value, scope, &mut calls));
        let values = values.collect();
        let at = match step(values, next) {
            Some(what) => self.push(what, place),
            None => next,
        };
        self.calls(calls, scope, at)
    }

    /// `slot = value`. Conditions are branches that put what they come to there.
    fn assign(&mut self, slot: usize, value: &Expr, scope: &Scope, next: At) -> At {
        let place = value.place;
        if is_condition(value) {
            let [yes, no] = ["true", "false"].map(|word| {
                let kind = ExprKind::Word(word.to_owned());
                self.push(What::Let(slot, Expr { kind, place }, next), place)
            });
            return self.branch(value, scope, yes, no);
        }
        self.with(vec![value], scope, place, next, |values, next| {
            let [value] = <[Expr; 1]>::try_from(values).ok()?;
            Some(What::Let(slot, value, next))
        })
    }

    fn branch(&mut self, test: &Expr, scope: &Scope, yes: At, no: At) -> At {
        match &test.kind {
            ExprKind::Binary(Op::And, left, right) => {
                let yes = self.branch(right, scope, yes, no);
                self.branch(left, scope, yes, no)
            }
            ExprKind::Binary(Op::Or, left, right) => {
                let no = self.branch(right, scope, yes, no);
                self.branch(left, scope, yes, no)
            }
            ExprKind::Not(inner) => self.branch(inner, scope, no, yes),
            ExprKind::Number(_)
            | ExprKind::Text(_)
            | ExprKind::Ip(_)
            | ExprKind::Prefix(_)
            | ExprKind::Word(_)
            | ExprKind::Slot(_)
            | ExprKind::Tuple(_)
            | ExprKind::Set(_)
            | ExprKind::Mask(_)
            | ExprKind::Binary(..)
            | ExprKind::Call(..)
            | ExprKind::Method(..) => {
                let mut calls = Vec::new();
                let test = self.resolve(test, scope, &mut calls);
                let place = test.place;
                let at = self.push(What::Branch(test, yes, no), place);
                self.calls(calls, scope, at)
            }
        }
    }

    /// Puts functions in the place of their calls, before `next`.
    fn calls(&mut self, calls: Vec<Call>, scope: &Scope, next: At) -> At {
        let backwards = calls.into_iter().rev();
        backwards.fold(next, |next, call| self.call(&call, scope.depth + 1, next))
    }

    fn call(&mut self, call: &Call, depth: usize, next: At) -> At {
        let Some(function) = self.world.conf.functions.get(&call.name) else {
            return next;
        };
        self.calls += 1;
        if depth > DEPTH_MAX || self.calls > CALLS_MAX {
            let what = format!(
                "functions call each other more than {DEPTH_MAX} deep, or {CALLS_MAX} times"
            );
            return self.push(What::Lost(what, next), call.place);
        }
        let slots: Vec<usize> = function.parameters.iter().map(|_| self.slot()).collect();
        let names = function
            .parameters
            .iter()
            .cloned()
            .zip(slots.iter().copied());
        let scope = Scope {
            names: names.collect(),
            returns: Some((call.slot, next)),
            depth,
        };
        let start = self.block(&function.body, &scope, next);
        let arguments = slots.into_iter().zip(&call.arguments).rev();
        arguments.fold(start, |next, (slot, value)| {
            self.push(What::Let(slot, value.clone(), next), call.place)
        })
    }

    /// The expression with slots for variables and for calls of functions, which are noted in their order.
    fn resolve(&mut self, expr: &Expr, scope: &Scope, calls: &mut Vec<Call>) -> Expr {
        let place = expr.place;
        let mut inner = |expr: &Expr| self.resolve(expr, scope, calls);
        let kind = match &expr.kind {
            ExprKind::Word(word) => match scope.names.get(word) {
                Some(slot) => ExprKind::Slot(*slot),
                None => expr.kind.clone(),
            },
            ExprKind::Tuple(parts) => ExprKind::Tuple(parts.iter().map(inner).collect()),
            ExprKind::Set(items) => {
                ExprKind::Set(items.iter().map(|item| resolve_item(item, scope)).collect())
            }
            ExprKind::Not(of) => ExprKind::Not(Box::new(inner(of))),
            ExprKind::Binary(op, left, right) => {
                let left = Box::new(inner(left));
                ExprKind::Binary(*op, left, Box::new(inner(right)))
            }
            ExprKind::Method(of, name, arguments) => {
                let of = Box::new(inner(of));
                ExprKind::Method(of, name.clone(), arguments.iter().map(inner).collect())
            }
            ExprKind::Call(name, arguments) => {
                let arguments: Vec<Expr> = arguments.iter().map(inner).collect();
                if self.world.conf.functions.contains_key(name) {
                    let (slot, name) = (self.slot(), name.clone());
                    calls.push(Call {
                        slot,
                        name,
                        arguments,
                        place,
                    });
                    ExprKind::Slot(slot)
                } else {
                    ExprKind::Call(name.clone(), arguments)
                }
            }
            ExprKind::Number(_)
            | ExprKind::Text(_)
            | ExprKind::Ip(_)
            | ExprKind::Prefix(_)
            | ExprKind::Slot(_)
            | ExprKind::Mask(_) => expr.kind.clone(),
        };
        Expr { kind, place }
    }
}

/// A call of a function, and where to what it returns goes.
struct Call {
    slot: usize,
    name: String,
    arguments: Vec<Expr>,
    place: Place,
}

/// Variables in sets.
fn resolve_item(item: &Item, scope: &Scope) -> Item {
    use crate::ast::Part;
    let find = |expr: &Expr| {
        let mut found = expr.clone();
        if let ExprKind::Word(word) = &expr.kind
            && let Some(slot) = scope.names.get(word)
        {
            found.kind = ExprKind::Slot(*slot);
        }
        found
    };
    match item {
        Item::Prefix(net, shortest, longest) => Item::Prefix(*net, *shortest, *longest),
        Item::One(expr) => Item::One(find(expr)),
        Item::Range(first, last) => Item::Range(find(first), find(last)),
        Item::Tuple(parts) => Item::Tuple(
            parts
                .iter()
                .map(|part| match part {
                    Part::Any => Part::Any,
                    Part::One(expr) => Part::One(find(expr)),
                    Part::Range(first, last) => Part::Range(find(first), find(last)),
                })
                .collect(),
        ),
    }
}

/// The function that is called.
fn called(expr: &Expr) -> Option<&str> {
    if let ExprKind::Call(name, _) = &expr.kind {
        return Some(name);
    }
    None
}

fn is_condition(expr: &Expr) -> bool {
    if let ExprKind::Binary(op, _, _) = &expr.kind {
        return !matches!(op, Op::Plus | Op::Minus | Op::Times | Op::Divide);
    }
    matches!(expr.kind, ExprKind::Not(_))
}

/// The variables that an expression reads.
fn slots(expr: &Expr, into: &mut BTreeSet<usize>) {
    use crate::ast::Part;
    match &expr.kind {
        ExprKind::Slot(slot) => drop(into.insert(*slot)),
        ExprKind::Tuple(parts) | ExprKind::Call(_, parts) => {
            parts.iter().for_each(|part| slots(part, into));
        }
        ExprKind::Not(of) => slots(of, into),
        ExprKind::Binary(_, left, right) => {
            slots(left, into);
            slots(right, into);
        }
        ExprKind::Method(of, _, arguments) => {
            slots(of, into);
            arguments.iter().for_each(|part| slots(part, into));
        }
        ExprKind::Set(items) => {
            for item in items {
                match item {
                    Item::Prefix(..) => {}
                    Item::One(expr) => slots(expr, into),
                    Item::Range(first, last) => {
                        slots(first, into);
                        slots(last, into);
                    }
                    Item::Tuple(parts) => parts.iter().for_each(|part| match part {
                        Part::Any => {}
                        Part::One(expr) => slots(expr, into),
                        Part::Range(first, last) => {
                            slots(first, into);
                            slots(last, into);
                        }
                    }),
                }
            }
        }
        ExprKind::Number(_)
        | ExprKind::Text(_)
        | ExprKind::Ip(_)
        | ExprKind::Prefix(_)
        | ExprKind::Word(_)
        | ExprKind::Mask(_) => {}
    }
}
