//! Connection settings of Postgres, or of a Supabase project's Postgres.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::database_tls::{read_root_cert, with_tls};
use crate::settings::Environment;

const DATABASE_URL_EXAMPLE: &str = "postgres://user:password@host:5432/postgres";

/// A parameter of a URL with several hosts. It is removed: the services always use the host that accepts
/// writes. Source: <https://www.postgresql.org/docs/current/libpq-connect.html>
const TARGET_SESSION_ATTRS: &str = "target_session_attrs";

/// Connection settings of Postgres; see deploy/CONFIGURATION.md.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// `DATABASE_URL`, or the URL derived from `SUPABASE_URL` and `SUPABASE_DB_PASSWORD`. One URL per host.
    /// All URLs say how TLS is verified.
    pub urls: Vec<SecretString>,
    /// `DATABASE_DIRECT_URL`, which bypasses a pooler.
    pub direct_urls: Vec<SecretString>,
    /// `DATABASE_ROOT_CERT`.
    root_cert: Option<String>,
    /// `DATABASE_POOL_SIZE`.
    pub pool_size: u32,
    /// `DATABASE_MAX_OVERFLOW`.
    pub max_overflow: u32,
    /// `DATABASE_POOL_TIMEOUT`.
    pub pool_timeout: Duration,
}

impl DatabaseSettings {
    /// Returns the most connections that the pool opens.
    pub fn max_connections(&self) -> u32 {
        self.pool_size + self.max_overflow
    }

    /// Reads the database's variables. Problems are added to `env`.
    pub fn read(env: &mut Environment) -> Option<Self> {
        let root_cert = read_root_cert(env);
        let complete = |urls: Vec<SecretString>| -> Vec<SecretString> {
            urls.iter().map(|url| with_tls(url, root_cert.as_deref())).collect()
        };
        let urls = match env.text("DATABASE_URL") {
            Some(_) => env.required("DATABASE_URL", DATABASE_URL_EXAMPLE, parse_postgres_urls),
            None => supabase_postgres_url(env).map(|url| vec![url]),
        };
        let direct_urls =
            env.optional("DATABASE_DIRECT_URL", DATABASE_URL_EXAMPLE, parse_postgres_urls).or(urls.clone());
        let (urls, direct_urls) = (urls.map(complete), direct_urls.map(complete));
        let pool_size = env.number("DATABASE_POOL_SIZE", 20, 1..=1000);
        let max_overflow = env.number("DATABASE_MAX_OVERFLOW", 30, 0..=1000);
        let pool_timeout = Duration::from_secs(env.number("DATABASE_POOL_TIMEOUT", 30, 1..=600).into());
        Some(Self {
            urls: urls?,
            direct_urls: direct_urls?,
            root_cert,
            pool_size,
            max_overflow,
            pool_timeout,
        })
    }

    /// Reads `DATABASE_READ_URL`, a standby for read-only queries. `None` if it is not set or is one of the
    /// primary's URLs.
    pub fn read_standby(&self, env: &mut Environment) -> Option<SecretString> {
        let url = env.optional("DATABASE_READ_URL", DATABASE_URL_EXAMPLE, |text| {
            let mut urls = parse_postgres_urls(text)?;
            match (urls.pop(), urls.is_empty()) {
                (Some(only), true) => Ok(only),
                _ => Err("has several hosts; set one host, or a load balancer in front of them".into()),
            }
        })?;
        let url = with_tls(&url, self.root_cert.as_deref());
        let is_primary = self.urls.iter().any(|primary| primary.expose_secret() == url.expose_secret());
        (!is_primary).then_some(url)
    }
}

/// Splits a URL with several hosts, as libpq accepts it, such as
/// `postgres://user@one:5432,two:5432/postgres`.
fn parse_postgres_urls(text: &str) -> Result<Vec<SecretString>, String> {
    let text = text.trim();
    let begin = text.find("://").map_or(0, |at| at + 3);
    let end = text[begin..].find(['/', '?']).map_or(text.len(), |at| begin + at);
    let begin = text[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
    let (before, hosts, behind) = (&text[..begin], &text[begin..end], &text[end..]);
    hosts.split(',').map(|host| parse_postgres_url(&format!("{before}{host}{behind}"))).collect()
}

fn parse_postgres_url(text: &str) -> Result<SecretString, String> {
    let malformed = || "is not an address of the form postgres://…".to_owned();
    let url = url::Url::parse(text).map_err(|_| malformed())?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(malformed());
    }
    let Some((_, target)) = url.query_pairs().find(|(name, _)| name == TARGET_SESSION_ATTRS) else {
        return Ok(text.into());
    };
    if !matches!(&*target, "read-write" | "primary" | "any") {
        return Err(format!("has a {TARGET_SESSION_ATTRS} other than read-write, primary and any"));
    }
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != TARGET_SESSION_ATTRS)
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let mut url = url;
    url.set_query(None);
    if !others.is_empty() {
        url.query_pairs_mut().extend_pairs(others);
    }
    Ok(String::from(url).into())
}

/// Derives a project's database URL: `https://<ref>.supabase.co` has its database at `db.<ref>.supabase.co`.
fn supabase_postgres_url(env: &mut Environment) -> Option<SecretString> {
    let (Some(project), Some(password)) = (env.text("SUPABASE_URL"), env.text("SUPABASE_DB_PASSWORD")) else {
        env.add_problem(
            "DATABASE_URL",
            "is not set (nor SUPABASE_URL with SUPABASE_DB_PASSWORD)",
            DATABASE_URL_EXAMPLE,
        );
        return None;
    };
    let host = url::Url::parse(&project).ok().and_then(|url| url.host_str().map(|host| format!("db.{host}")));
    let mut url = url::Url::parse("postgres://postgres@localhost:5432/postgres").ok()?;
    let is_complete = host.is_some_and(|host| url.set_host(Some(&host)).is_ok())
        && url.set_password(Some(&password)).is_ok();
    if !is_complete {
        env.add_problem("SUPABASE_URL", "is not an address", "https://abcdefgh.supabase.co");
        return None;
    }
    Some(String::from(url).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_url_defaults_to_supabase() {
        let process = [("SUPABASE_URL", "https://abc.supabase.co"), ("SUPABASE_DB_PASSWORD", "p@ss/word")];
        let process = process.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut env = Environment::from_sources(Default::default(), process).unwrap();
        let settings = DatabaseSettings::read(&mut env).unwrap();
        let url = "postgres://postgres:p%40ss%2Fword@db.abc.supabase.co:5432/postgres?sslmode=verify-full";
        assert_eq!(exposed(&settings.urls), [url]);
        assert_eq!(exposed(&settings.direct_urls), [url]);
    }

    fn exposed(urls: &[SecretString]) -> Vec<&str> {
        urls.iter().map(ExposeSecret::expose_secret).collect()
    }

    #[test]
    fn standby_is_single_non_primary_host() {
        let standby = |read_url: &str| {
            let process = [("DATABASE_URL", "postgres://one,two/db"), ("DATABASE_READ_URL", read_url)];
            let process = process.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let mut env = Environment::from_sources(Default::default(), process).unwrap();
            let url = DatabaseSettings::read(&mut env).unwrap().read_standby(&mut env);
            env.finish(|| Some(url.map(|url| url.expose_secret().to_owned())))
        };
        assert_eq!(standby("postgres://three/db"), Ok(Some("postgres://three/db".into())));
        assert_eq!(standby("postgres://two/db"), Ok(None));
        assert_eq!(standby(""), Ok(None));
        for wrong in ["postgres://two,three/db", "three"] {
            assert_eq!(standby(wrong).unwrap_err().0[0].name, "DATABASE_READ_URL");
        }
    }

    #[test]
    fn multi_host_url_splits_per_host() {
        let text = "postgres://u:p@one:5432,two:6432/db?target_session_attrs=read-write&sslmode=require";
        let expected =
            ["postgres://u:p@one:5432/db?sslmode=require", "postgres://u:p@two:6432/db?sslmode=require"];
        assert_eq!(exposed(&parse_postgres_urls(text).unwrap()), expected);
        let text = "postgres://one,two/db?target_session_attrs=any";
        assert_eq!(exposed(&parse_postgres_urls(text).unwrap()), ["postgres://one/db", "postgres://two/db"]);
        for one in ["postgres://u:p%2C@h:5432/db", "postgresql://h", "postgres://u@h/db?options=-c%20a%3Db"] {
            assert_eq!(exposed(&parse_postgres_urls(one).unwrap()), [one]);
        }
        for wrong in ["http://h/db", "h1,h2", "postgres://h/db?target_session_attrs=standby"] {
            assert!(parse_postgres_urls(wrong).is_err(), "{wrong}");
        }
    }
}
