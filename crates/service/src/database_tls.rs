//! TLS to Postgres: an address that does not say otherwise gets a verified connection, unless the server is
//! near.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::settings::Environment;

const DATABASE_ROOT_CERT: &str = "DATABASE_ROOT_CERT";

/// Endings of names that only a private network resolves: Kubernetes' services, and the domain that is
/// reserved for private use (Railway's private network).
const PRIVATE_DOMAINS: [&str; 4] = [".localhost", ".internal", ".svc", ".svc.cluster.local"];

/// Names of the parameters that sqlx understands.
const MODE_PARAMETERS: [&str; 2] = ["sslmode", "ssl-mode"];
const ROOT_CERT_PARAMETERS: [&str; 3] = ["sslrootcert", "ssl-root-cert", "ssl-ca"];

/// Reads `DATABASE_ROOT_CERT`, a file of certificates that the server's certificate may be signed by.
pub(crate) fn read_root_cert(env: &mut Environment) -> Option<String> {
    env.optional(DATABASE_ROOT_CERT, "/etc/ssl/certs/postgres-ca.crt", |path| {
        let path = path.trim();
        let text = fs::read_to_string(path).map_err(|error| format!("cannot be read ({error})"))?;
        match text.contains("-----BEGIN CERTIFICATE-----") {
            true => Ok(path.to_owned()),
            false => Err("is not a file with a certificate in PEM".into()),
        }
    })
}

/// Appends what the URL leaves open: `sslmode=verify-full` unless the server is near, and the root
/// certificate.
pub(crate) fn with_tls(url: &SecretString, root_cert: Option<&str>) -> SecretString {
    let Ok(mut parsed) = Url::parse(url.expose_secret()) else { return url.clone() };
    let has = |names: &[&str]| parsed.query_pairs().any(|(name, _)| names.contains(&&*name));
    let is_mode_missing = !has(&MODE_PARAMETERS) && !is_near(&parsed);
    let root_cert = root_cert.filter(|_| !has(&ROOT_CERT_PARAMETERS));
    if !is_mode_missing && root_cert.is_none() {
        return url.clone();
    }
    let mut parameters = parsed.query_pairs_mut();
    if is_mode_missing {
        parameters.append_pair("sslmode", "verify-full");
    }
    if let Some(path) = root_cert {
        parameters.append_pair("sslrootcert", path);
    }
    drop(parameters);
    String::from(parsed).into()
}

/// Returns whether the server is on this machine or in a private network: a Unix socket, a name without dots
/// (a service of Compose or Kubernetes) or of a private domain, or a private address.
fn is_near(url: &Url) -> bool {
    let parameter = url.query_pairs().filter(|(name, _)| matches!(&**name, "host" | "hostaddr")).last();
    match parameter.map(|(_, host)| host.into_owned()).or_else(|| url.host_str().map(str::to_owned)) {
        Some(host) => is_near_host(&host),
        // sqlx then takes PGHOST, or this machine.
        None => std::env::var("PGHOST").map_or(true, |host| is_near_host(&host)),
    }
}

fn is_near_host(host: &str) -> bool {
    // A directory, as such or percent-encoded, is that of a Unix socket.
    if host.is_empty() || host.starts_with(['/', '%']) {
        return true;
    }
    match host.trim_matches(['[', ']']).parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => is_private_v4(address),
        Ok(IpAddr::V6(address)) => is_private_v6(address),
        Err(_) => is_private_name(host),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_private() || address.is_link_local()
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
}

fn is_private_name(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    // `Host` also reads numbers such as 2130706433 as addresses; they are no names.
    let is_name = matches!(Host::parse(&name), Ok(Host::Domain(_)));
    is_name && (!name.contains('.') || PRIVATE_DOMAINS.iter().any(|domain| name.ends_with(domain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(url: &str, root_cert: Option<&str>) -> String {
        with_tls(&url.into(), root_cert).expose_secret().to_owned()
    }

    #[test]
    fn remote_database_is_verified_by_default() {
        for near in [
            "postgres://u@127.0.0.1/db",
            "postgres://u@[::1]:5432/db",
            "postgres://localhost/db",
            "postgres:///db",
            "postgres://%2Fvar%2Frun%2Fpostgresql/db",
            "postgres:///db?host=/var/run/postgresql",
            "postgres://postgres:5432/db",
            "postgres://10.1.2.3/db",
            "postgres://[fd00::7]/db",
            "postgres://postgres.railway.internal/db",
            "postgres://db.data.svc.cluster.local/db",
        ] {
            assert_eq!(completed(near, None), near);
        }
        for far in [
            "postgres://u@db.example.com/db",
            "postgres://203.0.113.7:5432/db",
            "postgres://0.0.0.0/db",
            "postgres://134744072/db",
            "postgres://[2001:db8::1]/db",
            "postgres://db.abc.supabase.co/db",
            "postgres://svc.example.com/db",
        ] {
            assert_eq!(completed(far, None), format!("{far}?sslmode=verify-full"));
        }
        let hidden = "postgres://localhost/db?host=db.example.com";
        assert_eq!(completed(hidden, None), format!("{hidden}&sslmode=verify-full"));
        let options = "postgres://db.example.com/db?options=-c%20a%3Db";
        assert_eq!(completed(options, None), format!("{options}&sslmode=verify-full"));
    }

    #[test]
    fn sslmode_and_root_cert_of_url_are_kept() {
        for own in
            ["postgres://db.example.com/db?sslmode=require", "postgres://db.example.com/db?ssl-mode=disable"]
        {
            assert_eq!(completed(own, None), own);
        }
        let url = "postgres://db.example.com/db";
        assert_eq!(
            completed(url, Some("/etc/ca.crt")),
            format!("{url}?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.crt")
        );
        let own = "postgres://db.example.com/db?sslmode=verify-ca&sslrootcert=/own.crt";
        assert_eq!(completed(own, Some("/etc/ca.crt")), own);
    }

    #[test]
    fn root_cert_must_be_readable_pem() {
        let read = |path: &str| {
            let process = [(DATABASE_ROOT_CERT.to_owned(), path.to_owned())].into();
            let mut env = Environment::from_sources(Default::default(), process).unwrap();
            let read = read_root_cert(&mut env);
            env.finish(|| Some(read)).map_err(|error| error.to_string())
        };
        assert!(read("/nonexistent.crt").unwrap_err().contains("DATABASE_ROOT_CERT cannot be read"));
        let folder = env!("CARGO_MANIFEST_DIR");
        let other = read(&format!("{folder}/Cargo.toml")).unwrap_err();
        assert!(other.contains("is not a file with a certificate in PEM"), "{other}");
        assert_eq!(read(""), Ok(None));
    }
}
