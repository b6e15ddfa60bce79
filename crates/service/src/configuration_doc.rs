//! Compares `deploy/CONFIGURATION.md` and the `.env` examples with the variables that a service reads. Only
//! tests use it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use crate::{Environment, InvalidVariable, SettingsError};

/// Variables that are absent from the `.env` examples, because another variable replaces them.
const NOT_IN_EXAMPLES: [&str; 3] = ["PORT", "SUPABASE_DB_PASSWORD", "SUPABASE_URL"];

/// Variables whose error message shows an example that is not the default.
const EXAMPLE_IS_NOT_DEFAULT: [&str; 3] =
    ["OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "TRUSTED_PROXIES"];

/// A value that no parser of settings accepts.
const INVALID_VALUE: &str = "?";

/// A row of the table: one variable.
struct DocumentedVariable {
    name: String,
    is_required: bool,
    /// The values in the column of defaults, which may have one for each service.
    defaults: Vec<String>,
}

/// Lists where the settings of `service` (`web` or `api`) and the documents disagree: variables, whether they
/// are required, and defaults. `read` makes settings of an environment.
///
/// # Errors
/// A document cannot be read.
pub fn configuration_doc_faults<T>(
    service: &str,
    read: impl Fn(Environment) -> Result<T, SettingsError>,
) -> io::Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = fs::read_to_string(root.join("deploy/CONFIGURATION.md"))?;
    let example = fs::read_to_string(root.join(format!(".env.{service}.example")))?;
    Ok(find_faults(service, &table, &example, read))
}

fn find_faults<T>(
    service: &str,
    table: &str,
    env_example: &str,
    read: impl Fn(Environment) -> Result<T, SettingsError>,
) -> Vec<String> {
    let documented = parse_table(table, service);
    let examples = parse_env_example(env_example);
    let with_values = |value: &dyn Fn(&str) -> Option<String>| {
        documented.iter().filter_map(|one| Some((one.name.clone(), value(&one.name)?))).collect()
    };
    let example_or_invalid = |name: &str| {
        let example = examples.get(name).filter(|value| !value.is_empty());
        Some(example.cloned().unwrap_or_else(|| INVALID_VALUE.to_owned()))
    };
    // Which variables are read depends on which are set, so three environments together show all of them.
    let mut read_names = BTreeSet::new();
    let mut problems_with = |variables| read_all(variables, &read, &mut read_names);
    let missing = problems_with(BTreeMap::new());
    problems_with(with_values(&example_or_invalid));
    let invalid = problems_with(with_values(&|_| Some(INVALID_VALUE.to_owned())));

    let mut faults = Vec::new();
    for name in &read_names {
        if !documented.iter().any(|one| one.name == *name) {
            faults.push(format!("{service} reads {name}, which deploy/CONFIGURATION.md does not list"));
        }
    }
    for one in &documented {
        let name = &one.name;
        if !read_names.contains(name) {
            faults.push(format!("{service} does not read {name}, which deploy/CONFIGURATION.md lists"));
        }
        let is_missing =
            |problem: &InvalidVariable| problem.name == *name && problem.reason.starts_with("is not set");
        if missing.iter().any(is_missing) != one.is_required {
            faults.push(format!("deploy/CONFIGURATION.md is wrong on whether {name} is required"));
        }
        let shown = invalid.iter().find(|problem| problem.name == *name).map(|problem| &problem.example);
        let shown = shown.filter(|_| !EXAMPLE_IS_NOT_DEFAULT.contains(&name.as_str()));
        for default in [shown, examples.get(name)].into_iter().flatten() {
            if !one.defaults.is_empty() && !one.defaults.contains(default) {
                faults.push(format!("the default of {name} is {default}, not {:?}", one.defaults));
            }
        }
        if !examples.contains_key(name) && !NOT_IN_EXAMPLES.contains(&name.as_str()) {
            faults.push(format!(".env.{service}.example lacks {name}"));
        }
    }
    for name in examples.keys().filter(|name| !documented.iter().any(|one| one.name == **name)) {
        faults.push(format!("{service} has no {name}, which .env.{service}.example lists"));
    }
    faults
}

/// Reads settings of these variables alone; returns the problems, and adds the names that were read.
fn read_all<T>(
    variables: BTreeMap<String, String>,
    read: impl Fn(Environment) -> Result<T, SettingsError>,
    read_names: &mut BTreeSet<String>,
) -> Vec<InvalidVariable> {
    let environment = Environment::from_sources(config::Map::new(), variables.into_iter().collect());
    let result = environment.and_then(|environment| {
        let names = environment.shared_read_names();
        let result = read(environment).map(drop);
        read_names.extend(names.lock().map(|names| names.clone()).unwrap_or_default());
        result
    });
    result.err().map(|error| error.0).unwrap_or_default()
}

fn parse_table(table: &str, service: &str) -> Vec<DocumentedVariable> {
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let parse_row = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, services, required, default, ..] = cells[..] else { return None };
        ["both", service].contains(&services).then(|| DocumentedVariable {
            name: name.trim_matches('`').to_owned(),
            is_required: ["yes", service].contains(&required),
            defaults: default.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
        })
    };
    rows.filter_map(parse_row).collect()
}

/// The variables of a `.env` example, set or commented out.
fn parse_env_example(text: &str) -> BTreeMap<String, String> {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let lines = text.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    lines
        .filter(|(name, _)| !name.is_empty() && is_name(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "| variable | service | required | default | meaning |\n\
                         |---|---|---|---|---|\n\
                         | `KEY` | both | api | – | a key |\n\
                         | `SIZE` | api | no | `5` | a size |\n\
                         | `OTHER` | web | no | – | read by another service |\n";

    fn read(mut env: Environment) -> Result<(), SettingsError> {
        let key = env.required("KEY", "k", |_| Ok(()));
        env.number("SIZE", 5, 0..=9);
        env.finish(|| key)
    }

    #[test]
    fn matching_documents_have_no_faults() {
        assert_eq!(find_faults("api", TABLE, "KEY=\n#SIZE=5\n", read), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_a_fault() {
        let table = TABLE.replace("| api | –", "| no | –").replace("`5`", "`6`");
        let table = table.replace("OTHER` | web", "GONE` | both");
        let faults = find_faults("api", &table, "KEY=\n#SIZE=5\n#OLD=1\n", |env| {
            env.text("NEW");
            read(env)
        });
        for expected in
            ["reads NEW", "not read GONE", "KEY is required", "default of SIZE is 5", "no OLD", "lacks GONE"]
        {
            assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected}: {faults:#?}");
        }
    }
}
