//! Checks which crate imports which: the architecture's table, compared with the manifests.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace;

/// The crates of the workspace, each with the other crates that it may import.
const ALLOWED_IMPORTS: &[(&str, &[&str])] = &[
    ("models", &[]),
    ("crypto", &[]),
    ("service", &[]),
    ("slack", &["models"]),
    ("db", &["models", "crypto"]),
    ("cache", &["models"]),
    ("llm", &["models"]),
    ("storage", &[]),
    ("simulator", &["models", "slack"]),
    ("assistant", &["models", "crypto", "slack", "db", "cache", "llm"]),
    ("web", &["models", "crypto", "service", "slack", "db", "cache", "llm", "storage", "assistant"]),
    ("api", &["models", "crypto", "service", "slack", "db", "cache", "llm", "assistant"]),
    ("xtask", &["simulator"]),
    ("e2e", &[]),
];

/// Libraries that only these crates may import.
const RESTRICTED_LIBRARIES: &[(&str, &[&str])] = &[
    ("axum", &["service", "web", "api", "simulator"]),
    ("sqlx", &["db"]),
    ("reqwest", &["slack", "llm", "storage", "simulator"]),
];

/// Fails unless every import of the workspace is allowed. Imports that only tests use do not count.
pub fn check() -> Result<()> {
    let metadata =
        workspace::output(&mut workspace::cargo(&["metadata", "--format-version=1", "--no-deps"]))?;
    let imports = parse_imports(&serde_json::from_str(&metadata)?)?;
    let forbidden = list_forbidden_imports(&imports);
    if !forbidden.is_empty() {
        bail!("{}", forbidden.join("\n"));
    }
    println!("{} crates, no forbidden import", imports.len());
    Ok(())
}

type CrateImports = BTreeMap<String, Vec<String>>;

/// The normal and build dependencies by crate, from `cargo metadata`.
fn parse_imports(metadata: &Value) -> Result<CrateImports> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let of = |package: &Value| {
        let dependencies = package["dependencies"].as_array()?.iter();
        let names = dependencies.filter(|one| one["kind"] != "dev").filter_map(|one| one["name"].as_str());
        Some((package["name"].as_str()?.to_owned(), names.map(Into::into).collect()))
    };
    Ok(packages.iter().filter_map(of).collect())
}

fn list_forbidden_imports(imports: &CrateImports) -> Vec<String> {
    let mut found = Vec::new();
    for (crate_name, names) in imports {
        let Some((_, allowed)) = ALLOWED_IMPORTS.iter().find(|(name, _)| name == crate_name) else {
            found.push(format!("the crate `{crate_name}` is not in the architecture's table"));
            continue;
        };
        for name in names {
            let foreign = imports.contains_key(name) && !allowed.contains(&name.as_str());
            let reserved = RESTRICTED_LIBRARIES.iter().find(|(library, _)| library == name);
            if foreign || reserved.is_some_and(|(_, users)| !users.contains(&crate_name.as_str())) {
                found.push(format!("`{crate_name}` may not import `{name}`"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden_in(packages: &str) -> Vec<String> {
        let metadata = format!(r#"{{"packages":[{packages}]}}"#);
        list_forbidden_imports(
            &parse_imports(&serde_json::from_str(&metadata).expect("JSON")).expect("packages"),
        )
    }

    fn package(name: &str, dependency: &str, kind: &str) -> String {
        format!(r#"{{"name":"{name}","dependencies":[{{"name":"{dependency}","kind":{kind}}}]}}"#)
    }

    #[test]
    fn reversed_dependency_is_found() {
        let web = package("web", "db", "null");
        assert!(forbidden_in(&format!("{web},{}", package("db", "models", "null"))).is_empty());
        assert_eq!(
            forbidden_in(&format!("{web},{}", package("db", "web", "null"))),
            ["`db` may not import `web`"]
        );
        assert!(forbidden_in(&format!("{web},{}", package("db", "web", "\"dev\""))).is_empty());
    }

    #[test]
    fn restricted_library_and_unknown_crate_found() {
        assert_eq!(forbidden_in(&package("web", "sqlx", "null")), ["`web` may not import `sqlx`"]);
        assert!(forbidden_in(&package("db", "sqlx", "null")).is_empty());
        assert_eq!(forbidden_in(&package("utils", "serde", "null")).len(), 1);
    }
}
