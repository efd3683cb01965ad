//! A tree prepared for one run, which writes JSON.
//!
//! Nearly all of an item is copied: what the definition and the Mapping's config say is computed once, fields of the record are pieces
//! of its JSON text. Only what is more than a path goes through the interpreter, and all such expressions of a record share one set of
//! variables.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::sync::Arc;

use backflow_core::cell::write_string;
use backflow_expressions::{Json, Values, raw};

use super::path::Found;
use super::scope::{EvalError, Scope, Variable};
use super::{Body, Leaf, Piece, Template, Tree, joined};

/// Members of a record that are looked for at once; those of larger trees are looked for one by one.
const SLOTS: usize = 16;

/// A tree prepared for one run.
#[derive(Debug)]
pub struct Bound {
    root: Node,
    /// Names of the record's members that are looked for at once.
    slots: Vec<String>,
    /// The expressions for the interpreter.
    computed: Vec<Arc<Leaf>>,
}

/// A request's body around its items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// What stands before the list of items.
    pub head: String,
    /// What stands behind it.
    pub tail: String,
}

#[derive(Debug)]
enum Node {
    /// JSON text.
    Constant(String),
    /// Nothing, in this run.
    Absent,
    /// A path of which the first step is one of the slots.
    Field(usize, Arc<Leaf>),
    /// Another path.
    Path(Arc<Leaf>),
    Computed(Arc<Leaf>),
    Text(Vec<Piece>),
    Items,
    List(Vec<Node>),
    Object(Object),
}

#[derive(Debug)]
struct Object {
    members: Vec<Member>,
    spread: Vec<Node>,
}

#[derive(Debug)]
struct Member {
    name: String,
    /// The name as JSON, with its colon and with a comma before it.
    prefix: String,
    node: Node,
}

impl Bound {
    pub(super) fn new(tree: &Tree, constants: &Scope<'_>) -> Result<Self, EvalError> {
        let mut bound = Self { root: Node::Absent, slots: Vec::new(), computed: Vec::new() };
        bound.root = bound.node(tree, constants)?;
        Ok(bound)
    }

    fn node(&mut self, tree: &Tree, constants: &Scope<'_>) -> Result<Node, EvalError> {
        Ok(match tree {
            Tree::Leaf(template) => self.leaf(template, constants)?,
            Tree::Items => Node::Items,
            Tree::List(items) => {
                let nodes = items.iter().map(|item| self.node(item, constants)).collect::<Result<Vec<_>, _>>()?;
                Node::List(nodes.into_iter().filter(|node| !matches!(node, Node::Absent)).collect())
            }
            Tree::Object { spread, members } => {
                let mut object = Object { members: Vec::new(), spread: Vec::new() };
                for template in spread {
                    object.spread.push(self.leaf(template, constants)?);
                }
                for (name, member) in members {
                    let name =
                        name.text(constants)?.ok_or_else(|| EvalError("the name of a member is none".to_owned()))?;
                    object.put(name, self.node(member, constants)?);
                }
                object.folded()
            }
        })
    }

    fn leaf(&mut self, template: &Template, constants: &Scope<'_>) -> Result<Node, EvalError> {
        if template.constant_in_run() {
            return Ok(template.value(constants)?.map_or(Node::Absent, |value| Node::Constant(value.to_string())));
        }
        Ok(match &template.body {
            Body::Constant(value) => Node::Constant(value.to_string()),
            Body::Text(pieces) => Node::Text(pieces.clone()),
            Body::Value(leaf) => match &leaf.path {
                Some(path) if path.variable == Variable::F && !path.steps.is_empty() => {
                    match self.slot(&path.steps[0].name) {
                        Some(slot) => Node::Field(slot, Arc::clone(leaf)),
                        None => Node::Path(Arc::clone(leaf)),
                    }
                }
                Some(_) => Node::Path(Arc::clone(leaf)),
                None => {
                    self.computed.push(Arc::clone(leaf));
                    Node::Computed(Arc::clone(leaf))
                }
            },
        })
    }

    fn slot(&mut self, name: &str) -> Option<usize> {
        if let Some(slot) = self.slots.iter().position(|slot| slot == name) {
            return Some(slot);
        }
        (self.slots.len() < SLOTS).then(|| {
            self.slots.push(name.to_owned());
            self.slots.len() - 1
        })
    }

    /// Appends the value as JSON; false if it is left out.
    ///
    /// # Errors
    /// An expression has no value for this record. `out` then ends with half a value, which the caller cuts off.
    pub fn write(&self, scope: &Scope<'_>, out: &mut String) -> Result<bool, EvalError> {
        self.writer(scope, None).write(&self.root, out)
    }

    /// Writes a request's body without its items.
    ///
    /// # Errors
    /// An expression has no value for this request.
    pub fn envelope(&self, scope: &Scope<'_>) -> Result<Envelope, EvalError> {
        let at = OnceCell::new();
        let mut head = String::new();
        self.writer(scope, Some(&at)).write(&self.root, &mut head)?;
        let tail = at.get().map(|at| head.split_off(*at)).unwrap_or_default();
        Ok(Envelope { head, tail })
    }

    /// Puts a member into the object at a JSON pointer; false if there is no object.
    #[must_use]
    pub fn insert(&mut self, pointer: &str, value: &Json) -> bool {
        let names: Vec<String> =
            pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
        let Some((last, way)) = names.split_last() else { return false };
        let mut node = &mut self.root;
        for name in way {
            let Some(object) = node.unfolded() else { return false };
            let Some(member) = object.members.iter_mut().find(|member| member.name == *name) else { return false };
            node = &mut member.node;
        }
        let Some(object) = node.unfolded() else { return false };
        object.put(last.clone(), Node::Constant(value.to_string()));
        true
    }

    fn writer<'w>(&'w self, scope: &'w Scope<'w>, items: Option<&'w OnceCell<usize>>) -> Writer<'w> {
        let mut found = [None; SLOTS];
        if let Some(record) = scope.record().filter(|_| !self.slots.is_empty())
            && let Some(members) = raw::members(&record.record.data)
        {
            let mut missing = self.slots.len();
            for (name, value) in members {
                if let Some(slot) = self.slots.iter().position(|slot| name.is(slot)) {
                    found[slot] = Some(value);
                    missing -= 1;
                    if missing == 0 {
                        break;
                    }
                }
            }
        }
        Writer { bound: self, scope, found, values: OnceCell::new(), items }
    }
}

impl Node {
    /// The object, one that was folded taken apart again.
    fn unfolded(&mut self) -> Option<&mut Object> {
        if let Self::Constant(text) = self {
            let Ok(Json::Object(members)) = Json::parse(text) else { return None };
            let mut object = Object { members: Vec::new(), spread: Vec::new() };
            for (name, member) in members {
                object.put(name, Self::Constant(member.to_string()));
            }
            *self = Self::Object(object);
        }
        if let Self::Object(object) = self { Some(object) } else { None }
    }
}

impl Object {
    /// Adds a member; one of the same name is replaced.
    fn put(&mut self, name: String, node: Node) {
        let mut prefix = String::from(",");
        write_string(&name, &mut prefix);
        prefix.push(':');
        self.members.retain(|member| member.name != name);
        if !matches!(node, Node::Absent) {
            self.members.push(Member { name, prefix, node });
        }
    }

    /// An object of constants is one.
    fn folded(self) -> Node {
        if !self.spread.is_empty() || self.members.iter().any(|member| !matches!(member.node, Node::Constant(_))) {
            return Node::Object(self);
        }
        let mut text = String::from("{");
        for (at, member) in self.members.iter().enumerate() {
            text.push_str(&member.prefix[usize::from(at == 0)..]);
            if let Node::Constant(json) = &member.node {
                text.push_str(json);
            }
        }
        text.push('}');
        Node::Constant(text)
    }
}

struct Writer<'w> {
    bound: &'w Bound,
    scope: &'w Scope<'w>,
    /// The text of each slot.
    found: [Option<&'w str>; SLOTS],
    /// What the interpreter sees, made for the first expression that needs it.
    values: OnceCell<Values<'w>>,
    /// Where the items stand.
    items: Option<&'w OnceCell<usize>>,
}

impl Writer<'_> {
    fn write(&self, node: &Node, out: &mut String) -> Result<bool, EvalError> {
        match node {
            Node::Constant(json) => out.push_str(json),
            Node::Absent => return Ok(false),
            Node::Field(slot, leaf) => return self.field(*slot, leaf, out),
            Node::Path(leaf) => {
                let found = leaf.path.as_ref().map_or(Found::Unclear, |path| path.write(self.scope, out));
                return self.settled(found, leaf, out);
            }
            Node::Computed(leaf) => return self.computed(leaf, out),
            Node::Text(pieces) => write_string(&joined(pieces, self.scope)?, out),
            Node::Items => {
                if let Some(at) = self.items {
                    let _ = at.set(out.len());
                }
            }
            Node::List(items) => {
                out.push('[');
                let start = out.len();
                for item in items {
                    let before = out.len();
                    if before > start {
                        out.push(',');
                    }
                    if !self.write(item, out)? {
                        out.truncate(before);
                    }
                }
                out.push(']');
            }
            Node::Object(object) => self.object(object, out)?,
        }
        Ok(true)
    }

    fn field(&self, slot: usize, leaf: &Arc<Leaf>, out: &mut String) -> Result<bool, EvalError> {
        let Some(path) = &leaf.path else { return self.computed(leaf, out) };
        let found = match (self.found[slot], self.scope.record()) {
            (Some(text), _) => path.write_raw(text, &path.steps[1..], out),
            (None, Some(_)) => path.write_absent(&path.steps[0], out),
            (None, None) => Found::Unclear,
        };
        self.settled(found, leaf, out)
    }

    fn settled(&self, found: Found<()>, leaf: &Arc<Leaf>, out: &mut String) -> Result<bool, EvalError> {
        match found {
            Found::Value(()) => Ok(true),
            Found::Nothing => Ok(false),
            Found::Unclear => {
                let value = leaf.interpreted(&self.scope.values([&leaf.references])?)?;
                Ok(value.map(|value| value.write(out)).is_some())
            }
        }
    }

    fn computed(&self, leaf: &Arc<Leaf>, out: &mut String) -> Result<bool, EvalError> {
        let values = match self.values.get() {
            Some(values) => values,
            None => {
                let made = self.scope.values(self.bound.computed.iter().map(|leaf| &leaf.references))?;
                self.values.get_or_init(|| made)
            }
        };
        Ok(leaf.interpreted(values)?.map(|value| value.write(out)).is_some())
    }

    fn object(&self, object: &Object, out: &mut String) -> Result<(), EvalError> {
        out.push('{');
        let start = out.len();
        let spreads = !object.spread.is_empty();
        let mut written: Vec<&str> = Vec::new();
        for member in &object.members {
            let before = out.len();
            out.push_str(&member.prefix[usize::from(before == start)..]);
            if !self.write(&member.node, out)? {
                out.truncate(before);
            } else if spreads {
                written.push(&member.name);
            }
        }
        if spreads {
            self.spread(object, &written, start, out)?;
        }
        out.push('}');
        Ok(())
    }

    fn spread(&self, object: &Object, written: &[&str], start: usize, out: &mut String) -> Result<(), EvalError> {
        let mut texts = Vec::with_capacity(object.spread.len());
        for node in &object.spread {
            let mut text = String::new();
            if self.write(node, &mut text)? && text != "null" {
                texts.push(text);
            }
        }
        for (at, text) in texts.iter().enumerate() {
            let members = raw::members(text).ok_or_else(|| EvalError("what is spread is no object".to_owned()))?;
            let mut later = HashSet::new();
            for other in &texts[at + 1..] {
                later.extend(raw::members(other).into_iter().flatten().map(|(name, _)| name.decoded()));
            }
            for (name, value) in members {
                if written.iter().any(|written| name.is(written)) || later.contains(&name.decoded()) {
                    continue;
                }
                if out.len() > start {
                    out.push(',');
                }
                out.push('"');
                out.push_str(name.written());
                out.push_str("\":");
                out.push_str(value);
            }
        }
        Ok(())
    }
}
