//! Import cycles: no crate may have a group of more than three files that import each other, directly or
//! through others.

mod imports;
mod modules;
mod tokens;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use self::modules::ModuleTree;
use crate::workspace;

/// The largest group of files that may import each other.
const MAX_CYCLE_FILES: usize = 3;

/// Fails and lists the groups if a crate has an import cycle over more than three files.
pub fn check() -> Result<()> {
    let mut faults = Vec::new();
    let mut files = 0;
    for root in list_crate_roots(&workspace::root().join("crates"))? {
        let tree = ModuleTree::read(&root)?;
        files += tree.modules.len();
        faults.extend(find_cycles(&tree).iter().map(|cycle| describe_cycle(&root, cycle)));
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!("{files} files, no import cycle over more than {MAX_CYCLE_FILES}");
    Ok(())
}

fn describe_cycle(root: &Path, files: &[PathBuf]) -> String {
    let folder = root.parent().unwrap_or(root);
    let names = files.iter().map(|file| file.strip_prefix(folder).unwrap_or(file).display().to_string());
    let names: Vec<String> = names.collect();
    let shown = root.strip_prefix(workspace::root()).unwrap_or(root).display();
    format!("{shown}: {} files import each other: {}", names.len(), names.join(", "))
}

/// Lists the root file of every library, program, example and test of the workspace.
fn list_crate_roots(crates: &Path) -> Result<Vec<PathBuf>> {
    let mut roots = Vec::new();
    for entry in fs::read_dir(crates)? {
        let folder = entry?.path();
        roots.extend(["src/lib.rs", "src/main.rs"].map(|file| folder.join(file)));
        for kind in ["examples", "tests"] {
            for target in fs::read_dir(folder.join(kind)).into_iter().flatten().flatten() {
                roots.push(target.path().join("main.rs"));
            }
        }
    }
    roots.retain(|root| root.is_file());
    roots.sort();
    Ok(roots)
}

/// Returns the groups of files that import each other, if they are larger than allowed.
fn find_cycles(tree: &ModuleTree) -> Vec<Vec<PathBuf>> {
    let imports = imports::resolve_imports(tree);
    let reachable: Vec<BTreeSet<usize>> =
        (0..tree.modules.len()).map(|module| reachable_from(module, &imports)).collect();
    let mut cycles = Vec::new();
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    for module in 0..tree.modules.len() {
        if !reachable[module].contains(&module) || seen.contains(&module) {
            continue;
        }
        let cycle = reachable[module].iter().copied().filter(|other| reachable[*other].contains(&module));
        let cycle: Vec<usize> = cycle.collect();
        seen.extend(&cycle);
        if cycle.len() > MAX_CYCLE_FILES {
            cycles.push(cycle.iter().map(|module| tree.modules[*module].file.clone()).collect());
        }
    }
    cycles
}

/// Returns all modules that this one imports, directly or through others.
fn reachable_from(module: usize, imports: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![module];
    while let Some(module) = open.pop() {
        open.extend(imports[module].iter().filter(|next| found.insert(**next)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a crate of these files and returns its cycles.
    fn cycles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let folder = std::env::temp_dir().join(format!("enablebot-cycles-{}", uuid::Uuid::new_v4()));
        for (name, text) in files {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, text).expect("a file");
        }
        let cycles = find_cycles(&ModuleTree::read(&folder.join("lib.rs")).expect("a module tree"));
        fs::remove_dir_all(&folder).expect("the folder is deleted");
        let name = |file: &PathBuf| file.strip_prefix(&folder).expect("inside").display().to_string();
        cycles.iter().map(|cycle| cycle.iter().map(name).collect()).collect()
    }

    #[test]
    fn cycle_over_four_files_is_found() {
        let cycles = cycles_of(&[
            ("lib.rs", "mod a; mod b; mod c; pub mod free;"),
            ("a.rs", "use crate::b::{self, B};"),
            ("b.rs", "fn f() { super::c::call(); }"),
            ("c/mod.rs", "mod inner; fn f() { inner::call() }"),
            ("c/inner.rs", "use crate::{a::A, free};"),
            ("free.rs", "use crate::a::A;"),
        ]);
        assert_eq!(cycles.len(), 1, "{cycles:?}");
        assert_eq!(cycles[0].iter().collect::<BTreeSet<_>>().len(), 5, "{cycles:?}");
        let cycles = cycles_of(&[
            ("lib.rs", "mod a; mod b; mod c; pub mod free;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use super::c;"),
            ("c.rs", "use crate::a::A;"),
            ("free.rs", "use crate::a::A;"),
        ]);
        assert!(cycles.is_empty(), "three files may: {cycles:?}");
    }

    #[test]
    fn reexport_leads_to_defining_file() {
        let cycles = cycles_of(&[
            ("lib.rs", "mod a; mod b; mod c; mod d; pub use a::A; pub use b::B as Bee;"),
            ("a.rs", "use crate::Bee;"),
            ("b.rs", "use crate::c::C;"),
            ("c.rs", "use crate::d::D;"),
            ("d.rs", "use crate::A;"),
        ]);
        assert_eq!(cycles, [["a.rs", "b.rs", "c.rs", "d.rs"]]);
    }

    #[test]
    fn tests_comments_and_texts_are_not_imports() {
        let cycles = cycles_of(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::c::C;"),
            ("c.rs", "use crate::d::D;"),
            (
                "d.rs",
                "// use crate::a::A;\n/* crate::a::A */ const T: &str = \"crate::a::A\";\n\
                 #[cfg(test)] mod tests { use crate::a::A; }",
            ),
        ]);
        assert!(cycles.is_empty(), "{cycles:?}");
    }
}
