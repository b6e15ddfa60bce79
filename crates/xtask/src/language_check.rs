//! The language of the code, in figures: doc comments, names of types, tests and constants.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::workspace;

/// Words that make a doc comment open with a clause instead of what the item is or does.
const CLAUSE_OPENERS: [&str; 16] = [
    "What",
    "Who",
    "Whom",
    "Whose",
    "Whoever",
    "Whether",
    "How",
    "However",
    "Where",
    "When",
    "Why",
    "So",
    "Nobody",
    "Somebody",
    "Anybody",
    "Everybody",
];

/// Percent of the doc comments that may open with a clause.
const MAX_CLAUSE_PERCENT: usize = 5;

/// Percent of the types that may share their name with another type of the workspace.
const MAX_SHARED_TYPE_PERCENT: usize = 15;

const MAX_TEST_NAME_CHARS: usize = 60;
const MAX_MEDIAN_TEST_NAME_CHARS: usize = 32;

/// A constant may be declared this often under one name.
const MAX_SAME_CONSTANTS: usize = 2;

/// Everything that is counted.
#[derive(Debug, Default)]
struct LanguageFigures {
    docs: usize,
    clause_openers: Vec<String>,
    /// The files that declare a type, by its name.
    types: BTreeMap<String, Vec<String>>,
    constants: BTreeMap<String, Vec<String>>,
    tests: Vec<String>,
}

/// Fails and lists the names and comments if a figure is above its limit.
pub fn check() -> Result<()> {
    let mut figures = LanguageFigures::default();
    let crates = workspace::root().join("crates");
    let mut files = Vec::new();
    list_rust_files(&crates, &mut files)?;
    for file in files {
        let name = file.strip_prefix(&crates).unwrap_or(&file).display().to_string();
        figures.count(&name, &fs::read_to_string(&file)?);
    }
    let faults = figures.list_faults();
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    let (docs, types, tests) = (figures.docs, figures.types.len(), figures.tests.len());
    println!("{docs} doc comments, {types} type names and {tests} test names within the limits");
    Ok(())
}

fn list_rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            list_rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

impl LanguageFigures {
    /// Counts a file. In folders and modules of tests only the names of tests count.
    fn count(&mut self, name: &str, text: &str) {
        self.tests.extend(list_tests(text));
        if name.split('/').any(|part| part == "tests" || part == "benches") {
            return;
        }
        let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(text);
        let mut is_doc_before = false;
        for (index, line) in code.lines().map(str::trim).enumerate() {
            let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim);
            if let Some(doc) = doc.filter(|doc| !is_doc_before && !doc.is_empty()) {
                self.docs += 1;
                let word = doc.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                if CLAUSE_OPENERS.contains(&word) {
                    self.clause_openers.push(format!("{name}:{}: {doc}", index + 1));
                }
            }
            is_doc_before = doc.is_some();
            match declared_name(line) {
                Some(("const", constant)) => add_declaration(&mut self.constants, constant, name),
                Some((_, declared)) => add_declaration(&mut self.types, declared, name),
                None => (),
            }
        }
    }

    fn list_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let openers = self.clause_openers.len();
        if openers * 100 >= self.docs.max(1) * MAX_CLAUSE_PERCENT {
            faults.push(format!(
                "{openers} of {} doc comments open with a clause (less than {MAX_CLAUSE_PERCENT} % may):",
                self.docs
            ));
            faults.extend(self.clause_openers.iter().cloned());
        }
        let shared = || self.types.iter().filter(|(_, files)| files.len() > 1);
        let (sharing, types) =
            (shared().map(|(_, files)| files.len()).sum::<usize>(), self.types.values().map(Vec::len).sum());
        if sharing * 100 >= usize::max(types, 1) * MAX_SHARED_TYPE_PERCENT {
            faults.push(format!(
                "{sharing} of {types} types share a name (less than {MAX_SHARED_TYPE_PERCENT} % may):"
            ));
            faults.extend(shared().map(|(name, files)| format!("{name}: {}", files.join(", "))));
        }
        let repeated = self.constants.iter().filter(|(_, files)| files.len() > MAX_SAME_CONSTANTS);
        faults.extend(repeated.map(|(name, files)| {
            format!("the constant {name} is declared {} times: {}", files.len(), files.join(", "))
        }));
        faults.extend(self.list_test_name_faults());
        faults
    }

    fn list_test_name_faults(&self) -> Vec<String> {
        let long = self.tests.iter().filter(|name| name.len() > MAX_TEST_NAME_CHARS);
        let mut faults: Vec<String> = long
            .map(|name| {
                format!("the test {name} has {} characters, more than {MAX_TEST_NAME_CHARS}", name.len())
            })
            .collect();
        let mut lengths: Vec<usize> = self.tests.iter().map(String::len).collect();
        lengths.sort_unstable();
        let median = lengths.get(lengths.len() / 2).copied().unwrap_or_default();
        if median > MAX_MEDIAN_TEST_NAME_CHARS {
            faults.push(format!(
                "test names have {median} characters in the median, more than {MAX_MEDIAN_TEST_NAME_CHARS}"
            ));
        }
        faults
    }
}

fn add_declaration(declarations: &mut BTreeMap<String, Vec<String>>, name: &str, file: &str) {
    declarations.entry(name.to_owned()).or_default().push(file.to_owned());
}

/// Returns the kind and the name of the type or constant that a line declares.
fn declared_name(line: &str) -> Option<(&str, &str)> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1,
        Some(rest) if rest.starts_with(' ') => rest,
        _ => line,
    };
    let (kind, rest) = line.trim_start().split_once(' ')?;
    let name = rest.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    let is_named = name.starts_with(|c: char| c.is_ascii_uppercase());
    (["struct", "enum", "trait", "const"].contains(&kind) && is_named).then_some((kind, name))
}

/// Lists the functions with a test attribute (`#[test]`, `#[tokio::test(…)]`).
fn list_tests(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(attribute) = line.strip_prefix("#[") {
            let path = attribute.split([']', '(']).next().unwrap_or_default();
            is_test |= path == "test" || path.ends_with("::test");
        } else if let Some((before, rest)) = line.split_once("fn ") {
            if is_test && before.split_whitespace().all(|word| word == "pub" || word == "async") {
                names
                    .extend(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned));
            }
            is_test = false;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "//! What it is.\n\n/// A lease.\n/// Who holds it.\npub struct Lease;\n\
        pub(crate) const MAX: usize = 1;\nconst fn f() {}\n\n#[cfg(test)]\nmod tests {\n\
        /// So.\n    struct Lease;\n\n    #[tokio::test(flavor = \"multi_thread\")]\n    #[ignore]\n\
        async fn lease_is_held() {}\n    fn helper() {}\n}\n";

    #[test]
    fn sample_file_is_counted() {
        let mut figures = LanguageFigures::default();
        figures.count("db/src/lease.rs", SAMPLE);
        assert_eq!((figures.docs, figures.clause_openers.len()), (2, 1), "{figures:?}");
        assert_eq!(figures.types.keys().collect::<Vec<_>>(), ["Lease"]);
        assert_eq!(figures.constants.keys().collect::<Vec<_>>(), ["MAX"]);
        assert_eq!(figures.tests, ["lease_is_held"]);
        figures.count("db/tests/it/lease.rs", SAMPLE);
        assert_eq!((figures.docs, figures.tests.len()), (2, 2));
    }

    #[test]
    fn each_limit_is_checked() {
        let mut figures = LanguageFigures { docs: 100, ..Default::default() };
        assert!(figures.list_faults().is_empty());
        figures.clause_openers = vec!["a.rs:1: What".to_owned(); 5];
        figures.types.insert("Settings".into(), vec!["a.rs".into(), "b.rs".into()]);
        figures.constants.insert("PATIENCE".into(), vec!["a.rs".into(); 3]);
        figures.tests = vec!["a".repeat(61)];
        let faults = figures.list_faults().join("\n");
        let found =
            ["5 of 100", "2 of 2 types", "PATIENCE is declared 3", "61 characters, more than 60", "median"];
        for part in found {
            assert!(faults.contains(part), "{part}: {faults}");
        }
    }
}
