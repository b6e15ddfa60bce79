//! The files that each file imports from: its `use` declarations, and the paths inside its code.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::ModuleTree;

type NamePath = Vec<String>;

/// The paths that a file names.
#[derive(Default)]
struct FilePaths {
    /// Paths that the file uses.
    used: Vec<NamePath>,
    /// Paths that it makes visible under a name of its own (`pub use`).
    reexports: BTreeMap<String, NamePath>,
}

/// Returns the modules that each module imports. Declaring a child (`mod name;`) is no import.
///
/// A name that a module re-exports counts for the file that defines it.
pub(super) fn resolve_imports(tree: &ModuleTree) -> Vec<BTreeSet<usize>> {
    let paths: Vec<FilePaths> = tree.modules.iter().map(|module| read_paths(&module.tokens)).collect();
    let imports = paths.iter().enumerate().map(|(module, file)| {
        let found = file.used.iter().filter_map(|path| resolve(tree, &paths, module, path, 0));
        found.filter(|other| *other != module).collect()
    });
    imports.collect()
}

fn read_paths(tokens: &[String]) -> FilePaths {
    let mut found = FilePaths::default();
    let mut body = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] != "use" {
            body.push(tokens[at].as_str());
            at += 1;
            continue;
        }
        let end =
            tokens[at..].iter().position(|token| token == ";").map_or(tokens.len(), |length| at + length);
        let is_public = body.last().is_some_and(|last| *last == "pub") || is_restricted_public(&body);
        for (name, path) in expand_use(&tokens[at + 1..end]) {
            if is_public {
                found.reexports.insert(name, path);
            } else {
                found.used.push(path);
            }
        }
        at = end + 1;
    }
    let words: BTreeSet<&str> = body.iter().copied().collect();
    let own = found.reexports.iter().filter(|(name, _)| words.contains(name.as_str()));
    found.used.extend(own.map(|(_, path)| path.clone()));
    found.used.extend(read_inline_paths(&body));
    found
}

/// Returns whether the tokens end with `pub(…)`.
fn is_restricted_public(body: &[&str]) -> bool {
    let open = body.iter().rposition(|token| *token == "(");
    body.last() == Some(&")") && open.is_some_and(|open| open > 0 && body[open - 1] == "pub")
}

/// Returns each name that a use tree brings into scope, with its path.
fn expand_use(tokens: &[String]) -> Vec<(String, NamePath)> {
    let mut path: NamePath = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "::" => (),
            "{" => {
                let inner = split_at_commas(&tokens[at + 1..tokens.len().saturating_sub(1)]);
                let expanded = inner.iter().flat_map(|part| expand_use(part));
                return expanded.map(|(name, rest)| join_path(&path, name, rest)).collect();
            }
            "as" => {
                let name = tokens.get(at + 1).cloned().unwrap_or_default();
                return vec![(name, path)];
            }
            name => path.push(name.to_owned()),
        }
    }
    path.last().cloned().map(|name| (name, path)).into_iter().collect()
}

/// Puts a prefix before a path of a group; `self` in a group is the prefix itself.
fn join_path(prefix: &[String], name: String, rest: NamePath) -> (String, NamePath) {
    if rest == ["self"] {
        let name = if name == "self" { prefix.last().cloned().unwrap_or_default() } else { name };
        return (name, prefix.to_vec());
    }
    (name, prefix.iter().cloned().chain(rest).collect())
}

fn split_at_commas(tokens: &[String]) -> Vec<&[String]> {
    let mut depth = 0;
    let parts = tokens.split(|token| {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => (),
        }
        depth == 0 && token == ","
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// Returns the paths in code with at least two parts, such as `crate::http::get`.
fn read_inline_paths(body: &[&str]) -> Vec<NamePath> {
    let mut paths = Vec::new();
    let mut path: NamePath = Vec::new();
    for (at, token) in body.iter().enumerate() {
        let continues = body.get(at + 1) == Some(&"::");
        if *token == "::" {
            continue;
        }
        let is_word = token.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if is_word {
            path.push((*token).to_owned());
        }
        if !is_word || !continues {
            let complete = std::mem::take(&mut path);
            paths.extend((complete.len() > 1).then_some(complete));
        }
    }
    paths
}

/// Returns the module whose file defines what this path names, or none if it is not of this crate.
fn resolve(
    tree: &ModuleTree,
    paths: &[FilePaths],
    from: usize,
    path: &[String],
    depth: usize,
) -> Option<usize> {
    /// Bounds re-exports that lead to each other.
    const MAX_REEXPORTS: usize = 8;
    let (mut module, mut rest) = match path.first()?.as_str() {
        "crate" => (0, &path[1..]),
        "self" => (from, &path[1..]),
        "super" => (tree.modules[from].parent?, &path[1..]),
        first if tree.modules[from].children.contains_key(first) => (from, path),
        _ => return None,
    };
    while let Some((name, behind)) = rest.split_first() {
        if name == "super" {
            module = tree.modules[module].parent?;
        } else if let Some(child) = tree.modules[module].children.get(name) {
            module = *child;
        } else if let Some(target) = paths[module].reexports.get(name).filter(|_| depth < MAX_REEXPORTS) {
            return resolve(tree, paths, module, target, depth + 1);
        } else {
            break;
        }
        rest = behind;
    }
    Some(module)
}
