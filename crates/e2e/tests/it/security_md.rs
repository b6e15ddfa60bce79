//! `SECURITY.md`: every test that it names exists.

use std::fs;
use std::path::Path;

use xtask::workspace;

/// Returns all sources below a folder.
fn read_sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let text = |path: &Path| match path.is_dir() {
        true => read_sources(path),
        false if path.extension().is_some_and(|ending| ending == "rs") => {
            fs::read_to_string(path).expect("text")
        }
        false => String::new(),
    };
    entries.map(|path| text(&path)).collect()
}

#[test]
fn security_md_names_existing_tests() {
    let page = fs::read_to_string(workspace::root().join("SECURITY.md")).expect("the page");
    let sources = read_sources(&workspace::root().join("crates"));
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| threat")).collect();
    assert!(rows.len() >= 15, "{rows:?}");
    for row in rows {
        let tests: Vec<&str> =
            row.rsplit('|').nth(1).expect("a last column").split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "nothing shows this: {row}");
        for test in tests {
            assert!(sources.contains(&format!("fn {test}(")), "there is no test {test}");
        }
    }
}
