//! What an expression refers to, and what is wrong with it before any row is seen.

use std::collections::BTreeSet;

use backflow_core::finding::hint;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::{Context, Program, Value};

use super::Variables;
use super::functions::{OPTIONAL, Signature, signatures};
use crate::references::References;

/// Loops in loops, at most: what they do grows with each by the length of a list.
const LOOPS: usize = 2;
/// Loops in all, at most.
const LOOPS_IN_ALL: usize = 8;
/// Steps from the whole expression to a part of it, at most: who evaluates it calls itself for each, on a stack that ends.
const DEPTH: usize = 40;
/// Names of types, for `type(x) == int`.
const TYPES: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Walks over `program`, which may name `variables`.
pub(super) fn check(program: &Program, variables: &Variables<'_>) -> Result<References, Vec<String>> {
    let mut walk = Walk {
        program,
        variables,
        bound: Vec::new(),
        depth: 0,
        deepest: 0,
        loops: 0,
        loops_in_all: 0,
        splits: false,
        references: References::default(),
        mistakes: Vec::new(),
    };
    walk.visit(program.expression());
    if walk.deepest > DEPTH {
        walk.mistakes.push(format!("it has more than {DEPTH} parts in each other; {}", variables.simpler));
    }
    if walk.splits && walk.references.loops > 1 {
        walk.mistakes
            .push("a list that split makes may be long: it cannot be used beside loops in each other".to_owned());
    }
    if walk.loops_in_all > LOOPS_IN_ALL {
        walk.mistakes.push(format!("it has more than {LOOPS_IN_ALL} loops (map, filter, all, exists)"));
    }
    if walk.mistakes.is_empty() { Ok(walk.references) } else { Err(walk.mistakes) }
}

/// How a member is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// An error if it is not there.
    Strict,
    /// `optional.none()` if it is not there.
    Optional,
    /// Whether it is there.
    Guard,
}

struct Walk<'a> {
    program: &'a Program,
    variables: &'a Variables<'a>,
    /// Variables of the loops around.
    bound: Vec<&'a str>,
    depth: usize,
    deepest: usize,
    loops: usize,
    loops_in_all: usize,
    /// Whether it makes lists of texts.
    splits: bool,
    references: References,
    mistakes: Vec<String>,
}

/// A step to a member by its name: of what, to which, and how.
fn step(at: &IdedExpr) -> Option<(&IdedExpr, &str, Way)> {
    match &at.expr {
        Expr::Select(select) => {
            Some((&select.operand, &select.field, if select.test { Way::Guard } else { Way::Strict }))
        }
        Expr::Call(CallExpr { func_name, args, target: None }) => {
            let way = match func_name.as_str() {
                operators::INDEX => Way::Strict,
                operators::OPT_INDEX | operators::OPT_SELECT => Way::Optional,
                _ => return None,
            };
            match &args[..] {
                [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] => {
                    Some((operand, name.inner(), way))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

impl<'a> Walk<'a> {
    fn visit(&mut self, at: &'a IdedExpr) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        if self.depth <= DEPTH {
            self.part(at);
        }
        self.depth -= 1;
    }

    fn part(&mut self, at: &'a IdedExpr) {
        if let Some((operand, name, _)) = step(at)
            && let Some((variable, member, _)) = self.member(operand)
        {
            let members = self.references.variables.entry(variable.to_owned()).or_default();
            members.below.entry(member.to_owned()).or_default().insert(name.to_owned());
        }
        if let Some((variable, member, way)) = self.member(at) {
            let members = self.references.variables.entry(variable.to_owned()).or_default();
            let asked = members.named.entry(member.to_owned()).or_default();
            asked.strictly |= way == Way::Strict;
            asked.guarded |= way == Way::Guard;
            return;
        }
        match &at.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => self.name(at, name),
            Expr::Select(select) => self.visit(&select.operand),
            Expr::Call(call) => self.call(at, call),
            Expr::Comprehension(comprehension) => self.comprehension(at, comprehension),
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.visit(&entry.key);
                        self.visit(&entry.value);
                    }
                }
            }
            Expr::Struct(_) => self.wrong(at, "there are no message types; write a map, {'name': value}".to_owned()),
        }
    }

    /// The variable and the member that `x.name`, `x.?name`, `has(x.name)`, `x['name']` or `x[?'name']` names.
    fn member(&self, at: &'a IdedExpr) -> Option<(&'a str, &'a str, Way)> {
        let (operand, member, way) = step(at)?;
        match &operand.expr {
            Expr::Ident(name) if self.free(name) && self.variables.names.contains(&name.as_str()) => {
                Some((name.as_str(), member, way))
            }
            _ => None,
        }
    }

    fn free(&self, name: &str) -> bool {
        !self.bound.contains(&name)
    }

    fn name(&mut self, at: &IdedExpr, name: &str) {
        if !self.free(name) || name.starts_with('@') || TYPES.contains(&name) {
            return;
        }
        if self.variables.names.contains(&name) {
            self.references.variables.entry(name.to_owned()).or_default().whole = true;
        } else {
            self.wrong(at, (self.variables.unknown)(name));
        }
    }

    fn call(&mut self, at: &'a IdedExpr, call: &'a CallExpr) {
        let name = call.func_name.as_str();
        let namespace = match &call.target {
            Some(target) => matches!(&target.expr, Expr::Ident(name) if name == "optional" && self.free(name)),
            None => false,
        };
        if name.starts_with(char::is_alphabetic) {
            let member = call.target.is_some();
            let known: Vec<Signature> = if namespace { OPTIONAL.to_vec() } else { signatures().collect() };
            self.signature(at, name, member, call.args.len(), &known);
        }
        self.splits |= name == "split";
        if name == "matches" {
            self.pattern(at, call.args.last());
        }
        if let Some(target) = call.target.as_deref().filter(|_| !namespace) {
            self.visit(target);
        }
        call.args.iter().for_each(|arg| self.visit(arg));
    }

    fn signature(&mut self, at: &IdedExpr, name: &str, member: bool, args: usize, known: &[Signature]) {
        let named: Vec<&Signature> = known.iter().filter(|known| known.0 == name).collect();
        if named.iter().any(|known| known.1 == member && (known.2..=known.3).contains(&args)) {
            return;
        }
        let written = if member { format!("x.{name}(…)") } else { format!("{name}(…)") };
        if named.is_empty() {
            let names: BTreeSet<&str> = known.iter().map(|known| known.0).collect();
            self.wrong(at, format!("there is no function \"{name}\" {}", hint(name, names)));
            return;
        }
        let ways: Vec<String> = named
            .iter()
            .map(|(name, member, least, most)| {
                let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
                format!("{}{name} with {range} arguments", if *member { "x." } else { "" })
            })
            .collect();
        self.wrong(at, format!("{written} with {args} arguments is not there, but {} is", ways.join(", or ")));
    }

    /// A regular expression that is written down can be tried at once.
    fn pattern(&mut self, at: &IdedExpr, pattern: Option<&IdedExpr>) {
        let Some(pattern @ IdedExpr { expr: Expr::Literal(LiteralValue::String(_)), .. }) = pattern else { return };
        let nothing = IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::String("".into())) };
        let call =
            CallExpr { func_name: "matches".to_owned(), target: Some(Box::new(nothing)), args: vec![pattern.clone()] };
        if Value::resolve(&IdedExpr { id: 0, expr: Expr::Call(call) }, &Context::default()).is_err() {
            self.wrong(at, "the pattern of matches is no regular expression".to_owned());
        }
    }

    fn comprehension(&mut self, at: &'a IdedExpr, comprehension: &'a ComprehensionExpr) {
        self.visit(&comprehension.iter_range);
        self.visit(&comprehension.accu_init);
        // `optMap` is written as a loop over nothing.
        let runs = !matches!(&comprehension.iter_range.expr, Expr::List(list) if list.elements.is_empty());
        let bound = self.bound.len();
        self.bound.push(&comprehension.iter_var);
        self.bound.extend(comprehension.iter_var2.as_deref());
        self.bound.push(&comprehension.accu_var);
        self.loops += usize::from(runs);
        self.loops_in_all += usize::from(runs);
        if self.loops == LOOPS + 1 && runs {
            self.wrong(at, format!("there are more than {LOOPS} loops in each other (map, filter, all, exists)"));
        }
        for part in [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
            self.visit(part);
        }
        self.loops -= usize::from(runs);
        self.bound.truncate(bound);
        self.references.loops = self.references.loops.max(self.loops + usize::from(runs));
    }

    fn wrong(&mut self, at: &IdedExpr, message: String) {
        let place = self.program.source_info().offset_for(at.id);
        let place = place.map(|(start, _)| format!("at character {}: ", start + 1)).unwrap_or_default();
        self.mistakes.push(format!("{place}{message}"));
    }
}
