//! Sets of paths, with set operations.
//!
//! A set is a tree whose edges are path elements. A path may be a member without its parent, and a parent without its
//! children: ownership of a map does not include its content (structured-merge-diff `fieldpath.Set`).

use std::cmp::Ordering;

use super::element::{Path, PathElement};

/// A set of paths of one object. The empty path, which is the whole object, is never a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Sorted and unique by element; each node is a member or has children.
    nodes: Vec<Node>,
}

/// A path element with its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) element: PathElement,
    /// True if the path to this node is a member.
    pub(super) member: bool,
    /// The paths below this node.
    pub(super) children: FieldSet,
}

/// The empty set, returned for missing elements.
static NOTHING: FieldSet = FieldSet { nodes: Vec::new() };

impl FieldSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// Adds a path, without its parents.
    pub fn insert(&mut self, path: &[PathElement]) {
        if let [first, rest @ ..] = path {
            let mut children = Self::new();
            children.insert(rest);
            self.attach(first.clone(), rest.is_empty(), children);
        }
    }

    /// Adds an element and all paths below it; `member` adds the element itself.
    pub(super) fn attach(&mut self, element: PathElement, member: bool, children: Self) {
        if !member && children.is_empty() {
            return;
        }
        // Elements mostly arrive in order.
        let at = match self.nodes.last() {
            Some(last) if last.element >= element => self.position(&element),
            _ => Err(self.nodes.len()),
        };
        match at {
            Err(at) => self.nodes.insert(at, Node { element, member, children }),
            Ok(at) => {
                let node = &mut self.nodes[at];
                node.member |= member;
                if node.children.is_empty() {
                    node.children = children;
                } else if !children.is_empty() {
                    node.children = node.children.union(&children);
                }
            }
        }
    }

    /// Creates a set from nodes in any order, possibly with duplicates.
    pub(super) fn from_nodes(mut nodes: Vec<Node>) -> Self {
        nodes.retain(|node| node.member || !node.children.is_empty());
        nodes.sort_by(|left, right| left.element.cmp(&right.element));
        if nodes.is_sorted_by(|left, right| left.element < right.element) {
            return Self { nodes };
        }
        Self::of_all(nodes.iter().collect())
    }

    /// Union of all sets, in time proportional to the number of elements, not of sets.
    pub(super) fn union_all<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::of_all(sets.into_iter().flat_map(|set| &set.nodes).collect())
    }

    fn of_all(mut nodes: Vec<&Node>) -> Self {
        nodes.sort_by(|left, right| left.element.cmp(&right.element));
        let of_one = |same: &[&Node]| match same {
            [only] => (*only).clone(),
            several => Node {
                element: several[0].element.clone(),
                member: several.iter().any(|node| node.member),
                children: Self::union_all(several.iter().map(|node| &node.children)),
            },
        };
        Self { nodes: nodes.chunk_by(|left, right| left.element == right.element).map(of_one).collect() }
    }

    fn position(&self, element: &PathElement) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.element.cmp(element))
    }

    /// True if the set has no members.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|node| usize::from(node.member) + node.children.len()).sum()
    }

    /// True if the path is a member.
    pub fn contains(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.has(last),
            [first, rest @ ..] => self.children(first).contains(rest),
        }
    }

    /// True if the path of this single element is a member.
    pub(super) fn has(&self, element: &PathElement) -> bool {
        self.position(element).is_ok_and(|at| self.nodes[at].member)
    }

    /// The paths that begin with this element, without it (`WithPrefix`).
    pub fn children(&self, element: &PathElement) -> &Self {
        self.position(element).map_or(&NOTHING, |at| &self.nodes[at].children)
    }

    /// The nodes of the first level, in order.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The members in the order of messages: each level before the levels below it.
    pub fn paths(&self) -> Vec<Path> {
        self.first_paths(usize::MAX)
    }

    /// The first `limit` members in the order of messages.
    pub(super) fn first_paths(&self, limit: usize) -> Vec<Path> {
        let mut paths = Vec::new();
        self.collect_paths(&mut Vec::new(), limit, &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &mut Vec<PathElement>, limit: usize, paths: &mut Vec<Path>) {
        let room = limit - paths.len();
        for node in self.nodes.iter().filter(|node| node.member).take(room) {
            let elements = prefix.iter().chain([&node.element]);
            paths.push(Path(elements.cloned().collect()));
        }
        for node in self.nodes.iter().filter(|node| !node.children.is_empty()) {
            if paths.len() == limit {
                return;
            }
            prefix.push(node.element.clone());
            node.children.collect_paths(prefix, limit, paths);
            prefix.pop();
        }
    }

    /// Paths in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::union_all([self, other])
    }

    /// Paths in either set; avoids a copy if one is empty.
    #[must_use]
    pub(super) fn join(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (_, true) => self,
            (true, _) => other,
            _ => self.union(&other),
        }
    }

    /// Paths in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut out = Self::new();
        let (mut left, mut right) = (self.nodes.as_slice(), other.nodes.as_slice());
        while let (Some(here), Some(there)) = (left.first(), right.first()) {
            match here.element.cmp(&there.element) {
                Ordering::Less => left = from(left, &there.element),
                Ordering::Greater => right = from(right, &here.element),
                Ordering::Equal => {
                    let children = here.children.intersection(&there.children);
                    out.attach(here.element.clone(), here.member && there.member, children);
                    (left, right) = (&left[1..], &right[1..]);
                }
            }
        }
        out
    }

    /// Paths in this set but not in the other. Paths below those of the other remain.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.remove(other);
        rest
    }

    /// Removes the paths of the other set. Paths below them remain.
    pub(super) fn remove(&mut self, other: &Self) {
        self.retain_besides(other, |node, removed| {
            node.member &= !removed.member;
            node.children.remove(&removed.children);
        });
    }

    /// Removes the paths of the other set and all paths below them.
    pub(super) fn remove_recursively(&mut self, other: &Self) {
        self.retain_besides(other, |node, removed| {
            if removed.member {
                (node.member, node.children) = (false, Self::new());
            } else {
                node.children.remove_recursively(&removed.children);
            }
        });
    }

    /// Applies `change` to the elements in both sets, and drops nodes that become empty.
    fn retain_besides(&mut self, other: &Self, change: impl Fn(&mut Node, &Node)) {
        let mut others = other.nodes.as_slice();
        self.nodes.retain_mut(|node| {
            others = from(others, &node.element);
            if let Some(other) = others.first().filter(|other| other.element == node.element) {
                change(node, other);
            }
            node.member || !node.children.is_empty()
        });
    }
}

/// The nodes from `element` on, found by galloping search, so that comparing a small with a large set takes time
/// proportional to the small one.
fn from<'a>(nodes: &'a [Node], element: &PathElement) -> &'a [Node] {
    let is_before = |node: &Node| node.element < *element;
    let mut reach = 1;
    while nodes.get(reach).is_some_and(is_before) {
        reach *= 2;
    }
    let near = &nodes[..nodes.len().min(reach)];
    &nodes[near.partition_point(is_before)..]
}

impl FromIterator<Path> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Path>>(paths: I) -> Self {
        let mut set = Self::new();
        for Path(path) in paths {
            set.insert(&path);
        }
        set
    }
}
