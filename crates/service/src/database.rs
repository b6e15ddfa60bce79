//! How to reach Postgres, or Supabase's.

use std::time::Duration;

use secrecy::SecretString;

use crate::settings::Environment;

const EXAMPLE: &str = "postgres://user:password@host:5432/postgres";

/// How to reach Postgres; see the README's table of variables.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// `DATABASE_URL`, or what follows from `SUPABASE_URL` and `SUPABASE_DB_PASSWORD`.
    pub url: SecretString,
    /// `DATABASE_DIRECT_URL`: past a pooler.
    pub direct_url: SecretString,
    /// `DATABASE_POOL_SIZE`.
    pub pool_size: u32,
    /// `DATABASE_MAX_OVERFLOW`.
    pub max_overflow: u32,
    /// `DATABASE_POOL_TIMEOUT`.
    pub pool_timeout: Duration,
}

impl DatabaseSettings {
    /// Reads the database's variables; what is wrong is noted in `env`.
    pub fn read(env: &mut Environment) -> Option<Self> {
        let url = match env.text("DATABASE_URL") {
            Some(_) => env.required("DATABASE_URL", EXAMPLE, postgres_address),
            None => supabase_address(env),
        };
        let direct_url = env.optional("DATABASE_DIRECT_URL", EXAMPLE, postgres_address).or(url.clone());
        let pool_size = env.number("DATABASE_POOL_SIZE", 20, 1..=1000);
        let max_overflow = env.number("DATABASE_MAX_OVERFLOW", 30, 0..=1000);
        let pool_timeout = Duration::from_secs(env.number("DATABASE_POOL_TIMEOUT", 30, 1..=600).into());
        Some(Self { url: url?.into(), direct_url: direct_url?.into(), pool_size, max_overflow, pool_timeout })
    }
}

fn postgres_address(text: &str) -> Result<String, String> {
    match url::Url::parse(text.trim()) {
        Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") => Ok(text.trim().to_owned()),
        _ => Err("is not an address of the form postgres://…".into()),
    }
}

/// A project `https://<ref>.supabase.co` has its database at `db.<ref>.supabase.co`.
fn supabase_address(env: &mut Environment) -> Option<String> {
    let (Some(project), Some(password)) = (env.text("SUPABASE_URL"), env.text("SUPABASE_DB_PASSWORD")) else {
        env.problem("DATABASE_URL", "is not set (nor SUPABASE_URL with SUPABASE_DB_PASSWORD)", EXAMPLE);
        return None;
    };
    let host = url::Url::parse(&project).ok().and_then(|url| url.host_str().map(|host| format!("db.{host}")));
    let mut url = url::Url::parse("postgres://postgres@localhost:5432/postgres").ok()?;
    let filled = host.is_some_and(|host| url.set_host(Some(&host)).is_ok())
        && url.set_password(Some(&password)).is_ok();
    if !filled {
        env.problem("SUPABASE_URL", "is not an address", "https://abcdefgh.supabase.co");
        return None;
    }
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn supabase_variables_stand_in_for_the_address() {
        let process = [("SUPABASE_URL", "https://abc.supabase.co"), ("SUPABASE_DB_PASSWORD", "p@ss/word")];
        let process = process.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut env = Environment::from_sources(Default::default(), process).unwrap();
        let settings = DatabaseSettings::read(&mut env).unwrap();
        assert_eq!(
            settings.url.expose_secret(),
            "postgres://postgres:p%40ss%2Fword@db.abc.supabase.co:5432/postgres"
        );
        assert_eq!(settings.direct_url.expose_secret(), settings.url.expose_secret());
    }
}
