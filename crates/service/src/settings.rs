//! Settings from the environment: every wrong variable is reported at once, by its name, with an example.

use std::fmt;
use std::path::Path;

use config::{Config, ConfigError};
use secrecy::SecretString;

/// How `ENCRYPTION_KEYS` looks: `openssl rand -base64 32` makes such a key.
pub const ENCRYPTION_KEYS_EXAMPLE: &str = "k1:<the output of `openssl rand -base64 32`>";

/// What is wrong with one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidVariable {
    /// The variable.
    pub name: String,
    /// What is wrong, without showing a value that may be a secret.
    pub reason: String,
    /// How it could look.
    pub example: String,
}

/// Everything that is wrong with the settings, a line each.
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

/// The process's variables over those of a `.env` file, and the problems found while reading them.
#[derive(Clone, Debug)]
pub struct Environment {
    variables: Config,
    /// The names in the `.env` file, set or empty.
    file_names: Vec<String>,
    problems: Vec<InvalidVariable>,
}

impl Environment {
    /// Reads the process's variables and, under them, those of `env_file` in the working directory, if it is there.
    pub fn read(env_file: &str) -> Result<Self, SettingsError> {
        let file = match Path::new(env_file).exists() {
            true => dotenvy::from_filename_iter(env_file).and_then(Iterator::collect),
            false => Ok(config::Map::new()),
        };
        let file = file.map_err(|error| match error {
            // The line may hold a secret.
            dotenvy::Error::LineParse(..) => {
                unreadable_error(env_file, "a line is not of the form NAME=value")
            }
            error => unreadable_error(env_file, &error.to_string()),
        })?;
        Self::from_sources(file, process_variables())
    }

    /// Reads the process's variables alone: for who goes on though the `.env` file cannot be read.
    pub fn from_process() -> Result<Self, SettingsError> {
        Self::from_sources(config::Map::new(), process_variables())
    }

    /// Reads from maps, those of `process` over those of `file`; empty values count as absent.
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
            .map(|variables| Self { variables, file_names, problems: Vec::new() })
            .map_err(|error| unreadable_error("the environment", &error.to_string()))
    }

    /// A variable that must be there.
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

    /// A variable that may be absent.
    pub fn optional<T>(
        &mut self,
        name: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(name)?;
        self.parsed_or_report(name, example, parse(&text))
    }

    /// A whole number within bounds, both included.
    pub fn number(&mut self, name: &str, default: u32, bounds: std::ops::RangeInclusive<u32>) -> u32 {
        let example = default.to_string();
        let expected = format!("is not a whole number from {} to {}", bounds.start(), bounds.end());
        self.optional(name, &example, |text| {
            text.trim().parse().ok().filter(|number| bounds.contains(number)).ok_or(expected)
        })
        .unwrap_or(default)
    }

    /// The service's own variable for its port, else `PORT`.
    pub fn port(&mut self, name: &str, default: u16) -> u16 {
        let name = if self.text(name).is_some() { name } else { "PORT" };
        let port = self.number(name, default.into(), 1..=u16::MAX.into());
        u16::try_from(port).unwrap_or(default)
    }

    /// An http(s) address, without the slash at its end.
    pub fn http_url(&mut self, name: &str, default: &str) -> String {
        self.optional(name, default, parse_http_url).unwrap_or_else(|| default.to_owned())
    }

    /// The variable's text, if it is set and not empty.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.variables.get_string(&name.to_lowercase()) {
            Ok(text) => Some(text),
            Err(ConfigError::NotFound(_)) | Err(_) => None,
        }
    }

    /// The names that stand in the `.env` file.
    pub fn file_names(&self) -> &[String] {
        &self.file_names
    }

    /// Notes a problem that no single reading shows.
    pub fn add_problem(&mut self, name: &str, reason: &str, example: &str) {
        self.problems.push(InvalidVariable {
            name: name.into(),
            reason: reason.into(),
            example: example.into(),
        });
    }

    /// The settings, if nothing was wrong. `build` returns `None` only where a problem was noted.
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

/// Parses an address that begins with http:// or https://.
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
