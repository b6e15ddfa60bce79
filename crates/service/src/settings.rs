//! Settings from the environment. All invalid variables are reported together, each with its name and an
//! example.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use config::{Config, ConfigError};
use secrecy::SecretString;

/// An example of `ENCRYPTION_KEYS`. `openssl rand -base64 32` generates a key.
pub const ENCRYPTION_KEYS_EXAMPLE: &str = "k1:<the output of `openssl rand -base64 32`>";

/// A problem with one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidVariable {
    /// The variable's name.
    pub name: String,
    /// The problem, without the value, which may be a secret.
    pub reason: String,
    /// A valid value.
    pub example: String,
}

/// All problems with the settings. Displayed one per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError(pub Vec<InvalidVariable>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, InvalidVariable { name, reason, example }) in self.0.iter().enumerate() {
            let line_end = if index + 1 < self.0.len() { "\n" } else { "" };
            write!(f, "{name} {reason}; for example {name}={example}{line_end}")?;
        }
        Ok(())
    }
}

/// The variables of the process and of a `.env` file, and the problems found while reading them.
#[derive(Clone, Debug)]
pub struct Environment {
    variables: Config,
    /// The names in the `.env` file, including those with empty values.
    file_names: Vec<String>,
    /// The names that were looked up, shared by all copies, so that a test can compare them with the
    /// documents.
    read_names: Arc<Mutex<BTreeSet<String>>>,
    problems: Vec<InvalidVariable>,
}

impl Environment {
    /// Reads the process's variables and those of `env_file` in the working directory, if it exists. The
    /// process's variables take precedence.
    pub fn read(env_file: &str) -> Result<Self, SettingsError> {
        let file = match Path::new(env_file).exists() {
            true => dotenvy::from_filename_iter(env_file).and_then(Iterator::collect),
            false => Ok(config::Map::new()),
        };
        let file = file.map_err(|error| match error {
            // The error holds the line, which may contain a secret.
            dotenvy::Error::LineParse(..) => {
                unreadable_error(env_file, "a line is not of the form NAME=value")
            }
            error => unreadable_error(env_file, &error.to_string()),
        })?;
        Self::from_sources(file, process_variables())
    }

    /// Reads the process's variables only, for callers that continue without an unreadable `.env` file.
    pub fn from_process() -> Result<Self, SettingsError> {
        Self::from_sources(config::Map::new(), process_variables())
    }

    /// Reads from maps. `process` takes precedence over `file`; empty values count as not set.
    pub fn from_sources(
        file: config::Map<String, String>,
        process: config::Map<String, String>,
    ) -> Result<Self, SettingsError> {
        let file_names = file.keys().cloned().collect();
        let layer = |source| {
            config::Environment::default().ignore_empty(true).try_parsing(false).source(Some(source))
        };
        Config::builder()
            .add_source(layer(file))
            .add_source(layer(process))
            .build()
            .map(|variables| Self { variables, file_names, read_names: Arc::default(), problems: Vec::new() })
            .map_err(|error| unreadable_error("the environment", &error.to_string()))
    }

    /// Parses a required variable.
    pub fn required<T>(
        &mut self,
        name: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.text(name) {
            Some(text) => self.parsed_or_report(name, example, parse(&text)),
            None => {
                self.add_problem(name, "is not set", example);
                None
            }
        }
    }

    /// Parses an optional variable.
    pub fn optional<T>(
        &mut self,
        name: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(name)?;
        self.parsed_or_report(name, example, parse(&text))
    }

    /// Parses a whole number within inclusive bounds.
    pub fn number(&mut self, name: &str, default: u32, bounds: std::ops::RangeInclusive<u32>) -> u32 {
        let example = default.to_string();
        let expected = format!("is not a whole number from {} to {}", bounds.start(), bounds.end());
        self.optional(name, &example, |text| {
            text.trim().parse().ok().filter(|number| bounds.contains(number)).ok_or(expected)
        })
        .unwrap_or(default)
    }

    /// Parses the port from the service's own variable, else from `PORT`.
    pub fn port(&mut self, name: &str, default: u16) -> u16 {
        let name = if self.text(name).is_some() { name } else { "PORT" };
        let port = self.number(name, default.into(), 1..=u16::MAX.into());
        u16::try_from(port).unwrap_or(default)
    }

    /// Parses an http(s) URL and removes its trailing slash.
    pub fn http_url(&mut self, name: &str, default: &str) -> String {
        self.optional(name, default, parse_http_url).unwrap_or_else(|| default.to_owned())
    }

    /// Returns a variable's text, if it is set and not empty.
    pub fn text(&self, name: &str) -> Option<String> {
        if let Ok(mut names) = self.read_names.lock() {
            names.insert(name.to_owned());
        }
        match self.variables.get_string(&name.to_lowercase()) {
            Ok(text) => Some(text),
            Err(ConfigError::NotFound(_)) | Err(_) => None,
        }
    }

    /// Returns the names in the `.env` file.
    pub fn file_names(&self) -> &[String] {
        &self.file_names
    }

    /// Returns the names that were looked up, also those that are looked up from now on.
    pub(crate) fn shared_read_names(&self) -> Arc<Mutex<BTreeSet<String>>> {
        Arc::clone(&self.read_names)
    }

    /// Adds a problem that concerns more than one variable.
    pub fn add_problem(&mut self, name: &str, reason: &str, example: &str) {
        self.problems.push(InvalidVariable {
            name: name.into(),
            reason: reason.into(),
            example: example.into(),
        });
    }

    /// Returns the settings, or all problems. `build` returns `None` only if a problem was added.
    pub fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, SettingsError> {
        match build() {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            _ => Err(SettingsError(self.problems)),
        }
    }

    fn parsed_or_report<T>(&mut self, name: &str, example: &str, parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|reason| self.add_problem(name, &reason, example)).ok()
    }
}

fn process_variables() -> config::Map<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Parses a secret of at least one character.
pub fn parse_secret(text: &str) -> Result<SecretString, String> {
    Ok(SecretString::from(text.trim()))
}

/// Parses a URL that begins with http:// or https://.
pub(crate) fn parse_http_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text.trim()).map_err(|error| format!("is not an address ({error})"))?;
    match url.scheme() {
        "http" | "https" => Ok(url.as_str().trim_end_matches('/').to_owned()),
        _ => Err("does not begin with http:// or https://".into()),
    }
}

fn unreadable_error(name: &str, error: &str) -> SettingsError {
    SettingsError(vec![InvalidVariable {
        name: name.into(),
        reason: format!("cannot be read ({error})"),
        example: "value".into(),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(file: &[(&str, &str)], process: &[(&str, &str)]) -> Environment {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        Environment::from_sources(map(file), map(process)).unwrap()
    }

    #[test]
    fn process_variables_override_env_file() {
        let env = environment(&[("A", "file"), ("B", "file"), ("C", "")], &[("B", "process"), ("A", "")]);
        assert_eq!(env.text("A").as_deref(), Some("file"));
        assert_eq!(env.text("B").as_deref(), Some("process"));
        assert_eq!(env.text("C"), None);
    }

    #[test]
    fn every_settings_problem_is_reported() {
        let mut env = environment(&[], &[("PORT", "eighty"), ("BASE", "ftp://x"), ("N", "7")]);
        let secret = env.required("SECRET", "abc", parse_secret);
        let port = env.number("PORT", 8001, 1..=65535);
        let base = env.http_url("BASE", "https://slack.com");
        assert_eq!(env.number("N", 1, 1..=9), 7);
        let error = env.finish(|| Some((secret?, port, base))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "SECRET is not set; for example SECRET=abc\n\
             PORT is not a whole number from 1 to 65535; for example PORT=8001\n\
             BASE does not begin with http:// or https://; for example BASE=https://slack.com"
        );
    }
}
