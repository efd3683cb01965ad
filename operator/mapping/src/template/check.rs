//! What a template refers to, and what is wrong with it before any row is seen.

use backflow_core::finding::hint;
use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Stmt};
use minijinja::machinery::{Span, parse};
use minijinja::syntax::SyntaxConfig;

use super::filters::{self, TESTS};
use crate::expression::References;

/// Loops in loops, at most.
const LOOPS: usize = 2;

/// What is found in a template.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) references: References,
    /// `record` is named, not only columns by themselves.
    pub(super) record: bool,
    /// Columns of which members are asked.
    pub(super) navigated: Vec<String>,
}

/// Walks over a template. `inside`: it stands in `items.each`, where `item` is.
pub(super) fn check(source: &str, inside: bool) -> Result<Found, Vec<String>> {
    let template = parse(source, "template", SyntaxConfig::default()).map_err(|error| {
        let line = error.line().map(|line| format!("at line {line}: ")).unwrap_or_default();
        let reason = error.detail().unwrap_or("it is no template");
        vec![format!("{line}{reason}")]
    })?;
    let mut walk = Walk { inside, found: Found::default(), bound: vec![Vec::new()], loops: 0, mistakes: Vec::new() };
    walk.statement(&template);
    if walk.mistakes.is_empty() { Ok(walk.found) } else { Err(walk.mistakes) }
}

struct Walk<'a> {
    inside: bool,
    found: Found,
    /// Names that the template itself gives, by scope.
    bound: Vec<Vec<&'a str>>,
    loops: usize,
    mistakes: Vec<String>,
}

impl<'a> Walk<'a> {
    fn statement(&mut self, statement: &'a Stmt<'a>) {
        match statement {
            Stmt::Template(template) => template.children.iter().for_each(|child| self.statement(child)),
            Stmt::EmitRaw(_) => {}
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::ForLoop(each) => {
                if each.recursive {
                    self.wrong(each.span(), "a loop cannot be recursive");
                }
                self.expression(&each.iter);
                self.loops += 1;
                if self.loops == LOOPS + 1 {
                    self.wrong(each.span(), &format!("there are more than {LOOPS} loops in each other"));
                }
                self.bound.push(vec!["loop"]);
                self.bind(&each.target);
                if let Some(filter) = &each.filter_expr {
                    self.expression(filter);
                }
                each.body.iter().for_each(|child| self.statement(child));
                self.bound.pop();
                self.loops -= 1;
                self.block(&each.else_body);
            }
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr);
                self.block(&condition.true_body);
                self.block(&condition.false_body);
            }
            Stmt::WithBlock(with) => {
                self.bound.push(Vec::new());
                for (target, value) in &with.assignments {
                    self.expression(value);
                    self.bind(target);
                }
                with.body.iter().for_each(|child| self.statement(child));
                self.bound.pop();
            }
            Stmt::Set(set) => {
                self.expression(&set.expr);
                self.bind(&set.target);
            }
            Stmt::SetBlock(set) => {
                self.block(&set.body);
                if let Some(filter) = &set.filter {
                    self.expression(filter);
                }
                self.bind(&set.target);
            }
            Stmt::FilterBlock(filter) => {
                self.expression(&filter.filter);
                self.block(&filter.body);
            }
            Stmt::AutoEscape(escape) => self.wrong(escape.span(), "there is no autoescape: what is sent is JSON"),
            Stmt::Do(call) => self.wrong(call.span(), "there are no functions; use a filter, {{ value | filter }}"),
        }
    }

    fn block(&mut self, body: &'a [Stmt<'a>]) {
        self.bound.push(Vec::new());
        body.iter().for_each(|child| self.statement(child));
        self.bound.pop();
    }

    fn bind(&mut self, target: &'a Expr<'a>) {
        match target {
            Expr::Var(var) => {
                if let Some(scope) = self.bound.last_mut() {
                    scope.push(var.id);
                }
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.bind(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.bind(item)),
            other => self.expression(other),
        }
    }

    fn expression(&mut self, expression: &'a Expr<'a>) {
        match expression {
            Expr::Var(var) => self.name(var.id),
            Expr::Const(_) => {}
            Expr::Slice(slice) => {
                self.base(&slice.expr);
                let parts = [&slice.start, &slice.stop, &slice.step];
                parts.into_iter().flatten().for_each(|part| self.expression(part));
            }
            Expr::UnaryOp(unary) => self.expression(&unary.expr),
            Expr::BinOp(binary) => {
                if matches!(binary.op, BinOpKind::Concat) {
                    self.wrong(binary.span(), "~ would write NULL as a word; write {{ a }}{{ b }}");
                }
                self.expression(&binary.left);
                self.expression(&binary.right);
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                compare.ops.iter().for_each(|op| self.expression(&op.expr));
            }
            Expr::IfExpr(condition) => {
                self.expression(&condition.test_expr);
                self.expression(&condition.true_expr);
                if let Some(other) = &condition.false_expr {
                    self.expression(other);
                }
            }
            Expr::Filter(filter) => {
                self.filter(filter.span(), filter.name, filter.args.len());
                if let Some(value) = &filter.expr {
                    self.expression(value);
                }
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                if !TESTS.contains(&test.name) {
                    let message = format!("there is no test \"{}\" {}", test.name, hint(test.name, TESTS));
                    self.wrong(test.span(), &message);
                }
                self.expression(&test.expr);
                self.arguments(&test.args);
            }
            Expr::GetAttr(member) => match &member.expr {
                Expr::Var(var) if var.id == "record" && self.free("record") => self.column(member.name),
                base => self.base(base),
            },
            Expr::GetItem(item) => match (&item.expr, &item.subscript_expr) {
                (Expr::Var(var), Expr::Const(name))
                    if var.id == "record" && self.free("record") && name.value.as_str().is_some() =>
                {
                    self.column(name.value.as_str().unwrap_or_default());
                }
                (base, subscript) => {
                    self.base(base);
                    self.expression(subscript);
                }
            },
            Expr::Call(call) => {
                self.wrong(call.span(), "there are no functions; use a filter, {{ value | filter }}");
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expression(item)),
            Expr::Map(map) => map.keys.iter().chain(&map.values).for_each(|part| self.expression(part)),
        }
    }

    /// What members are asked of.
    fn base(&mut self, base: &'a Expr<'a>) {
        self.expression(base);
        if let Expr::Var(var) = base
            && self.found.references.columns.contains(var.id)
        {
            self.found.navigated.push(var.id.to_owned());
        }
    }

    fn free(&self, name: &str) -> bool {
        !self.bound.iter().any(|scope| scope.contains(&name))
    }

    fn name(&mut self, name: &str) {
        if !self.free(name) || (name == "item" && self.inside) {
            return;
        }
        if name == "record" {
            self.found.record = true;
            self.found.references.whole = true;
        } else {
            self.found.references.columns.insert(name.to_owned());
        }
    }

    fn column(&mut self, name: &str) {
        self.found.record = true;
        self.found.references.columns.insert(name.to_owned());
    }

    fn filter(&mut self, at: Span, name: &str, args: usize) {
        let Some((least, most)) = filters::arguments(name) else {
            self.wrong(at, &format!("there is no filter \"{name}\" {}", hint(name, filters::names())));
            return;
        };
        if !(least..=most).contains(&args) {
            let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
            self.wrong(at, &format!("filter \"{name}\" takes {range} arguments, not {args}"));
        }
    }

    fn arguments(&mut self, args: &'a [CallArg<'a>]) {
        for arg in args {
            match arg {
                CallArg::Pos(value) => self.expression(value),
                CallArg::Kwarg(_, value) | CallArg::PosSplat(value) | CallArg::KwargSplat(value) => {
                    self.expression(value);
                    self.mistakes.push("arguments are given by their place, not by name and not spread".to_owned());
                }
            }
        }
    }

    fn wrong(&mut self, at: Span, message: &str) {
        self.mistakes.push(format!("at line {}, character {}: {message}", at.start_line, u32::from(at.start_col) + 1));
    }
}
