//! `docker/compose.yaml`, checked against the Compose schema, with its variables filled in as compose does
//! it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use crate::service::Variables;
use crate::{venv, workspace};

/// A Python package that contains the schema of the Compose specification and a YAML parser.
const COMPOSE_VALIDATOR: &str = "check-jsonschema==0.39.0";

/// Installs the validator if it is missing.
pub fn install() -> Result<()> {
    venv::install(COMPOSE_VALIDATOR).map(drop)
}

/// Returns the path of the compose file.
pub fn compose_file() -> PathBuf {
    workspace::root().join("docker/compose.yaml")
}

/// Fails if a file violates the Compose specification.
pub fn check(file: &Path) -> Result<()> {
    let mut check = Command::new(venv::install(COMPOSE_VALIDATOR)?.join("check-jsonschema"));
    workspace::output(check.args(["--builtin-schema", "vendor.compose-spec"]).arg(file)).map(drop)
}

/// Reads a file, with its anchors and merges resolved.
pub fn read(file: &Path) -> Result<Value> {
    let script = "import json, sys; from ruamel.yaml import YAML; \
                  json.dump(YAML(typ='safe').load(open(sys.argv[1])), sys.stdout)";
    let mut python = Command::new(venv::install(COMPOSE_VALIDATOR)?.join("python"));
    let json = workspace::output(python.args(["-c", script]).arg(file))?;
    Ok(serde_json::from_str(&json)?)
}

/// A `${NAME}`, `${NAME:-default}` or `${NAME:?what to set}` of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableReference<'a> {
    /// The name of the variable.
    pub name: &'a str,
    /// The value if the variable is not set.
    pub default: Option<&'a str>,
    text: &'a str,
}

/// Lists all variable references of a text in their order.
pub fn list_references(text: &str) -> Vec<VariableReference<'_>> {
    let begun = text.match_indices("${");
    let found = begun.filter_map(|(at, _)| {
        let whole = &text[at..=at + text[at..].find('}')?];
        let inner = &whole[2..whole.len() - 1];
        let (name, rest) = inner.split_once(':').unwrap_or((inner, ""));
        Some(VariableReference { name, default: rest.strip_prefix('-'), text: whole })
    });
    found.collect()
}

/// Fills in the variables of a text. Like compose, fails on a variable that is not set and has no default.
pub fn interpolate(text: &str, variables: &Variables) -> Result<String> {
    let mut filled = text.to_owned();
    for VariableReference { name, default, text: whole } in list_references(text) {
        let set = variables.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let value = set.or(default).ok_or_else(|| anyhow::anyhow!("{name} is not set: {whole}"))?;
        filled = filled.replace(whole, value);
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_interpolated_like_compose() {
        let set = Variables::from([("A".to_owned(), "1".to_owned()), ("E".to_owned(), String::new())]);
        let text = "${A:?say A}-${B:-b:2}-${E:-e}-${A}";
        assert_eq!(interpolate(text, &set).unwrap(), "1-b:2-e-1");
        assert!(interpolate("${E:?say E}", &set).unwrap_err().to_string().contains("E is not set"));
        assert_eq!(list_references(text).len(), 4);
    }
}
