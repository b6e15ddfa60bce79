//! Postgres: whether it is there, up to date and closed to all but us.

use std::net::IpAddr;

use db::{Db, DbError, EventListener};
use secrecy::ExposeSecret;
use url::Url;

use super::config::DoctorConfig;
use super::{CheckResult, Finding};

/// Whether it can be worked with, and by whom.
pub(super) async fn check_server(setup: &DoctorConfig) -> CheckResult {
    let server = match &setup.server {
        Ok(server) => server,
        Err(why) => {
            let todo = "see DATABASE_URL, the database's address rules and its firewall";
            return Ok(vec![Finding::fault(format!("it is not reached: {why}"), todo)]);
        }
    };
    let mut findings = Vec::new();
    if !server.is_primary {
        findings
            .push(Finding::fault("it takes no writes: it is a standby", "name the primary in DATABASE_URL"));
    }
    if !server.is_durable {
        findings.push(Finding::fault(
            "a crash loses what was acknowledged: fsync or synchronous_commit is off",
            "set both to on",
        ));
    }
    if server.is_superuser {
        findings.push(Finding::warn(
            format!("the role {} is a superuser", server.role),
            "give the services a role of their own that owns the database",
        ));
    }
    if setup.schema.is_ok() && !server.has_service_roles {
        let roles = "enablebot_tenant, enablebot_service";
        findings.push(Finding::fault(
            format!("the role {} may not act as {roles}", server.role),
            format!("grant {roles} to {}", server.role),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("Postgres {}, as {}", server.version, server.role)));
    }
    Ok(findings)
}

/// Whether others on the way can read along.
pub(super) async fn check_encryption(setup: &DoctorConfig) -> CheckResult {
    setup.require_db()?;
    let (Some(database), Ok(server)) = (&setup.database, &setup.server) else { return Ok(Vec::new()) };
    let urls: Vec<Url> =
        database.urls.iter().filter_map(|url| Url::parse(url.expose_secret()).ok()).collect();
    Ok(vec![evaluate_encryption(&urls, server.is_encrypted)])
}

fn evaluate_encryption(urls: &[Url], is_encrypted: bool) -> Finding {
    let is_mode = |name: &str| matches!(name, "sslmode" | "ssl-mode");
    let modes = urls.iter().filter(|url| !is_local(url)).map(|url| {
        let mode = url.query_pairs().find(|(name, _)| is_mode(name));
        mode.map(|(_, mode)| mode.into_owned()).unwrap_or_default()
    });
    let modes: Vec<String> = modes.collect();
    let all_are = |wanted: &[&str]| modes.iter().all(|mode| wanted.contains(&mode.as_str()));
    let todo =
        "end DATABASE_URL with ?sslmode=verify-full, with &sslrootcert=… where its issuer is not public";
    if modes.is_empty() {
        Finding::ok("not needed: it is on this machine")
    } else if all_are(&["verify-full"]) {
        Finding::ok("encrypted, and the server is who it says")
    } else if all_are(&["verify-full", "verify-ca", "require"]) || is_encrypted {
        Finding::warn("encrypted, but whoever stands between could answer in its place", todo)
    } else {
        Finding::fault("the connection is not encrypted", todo)
    }
}

/// Whether an address stays on this machine.
pub(super) fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        // Without a host, or with a folder as such, it is a socket.
        Err(_) => host.is_empty() || host == "localhost" || host.starts_with("%2F"),
    }
}

/// Whether the schema is this binary's.
pub(super) async fn check_migrations(setup: &DoctorConfig) -> CheckResult {
    setup.require_db()?;
    Ok(vec![match &setup.schema {
        Ok(()) => Finding::ok("all of this release are applied"),
        Err(why) => Finding::fault(why.clone(), "run `web migrate`"),
    }])
}

/// Whether somebody else may look into the schema.
pub(super) async fn check_schema_exposure(setup: &DoctorConfig) -> CheckResult {
    let open_to = setup.query(Db::list_exposures).await?;
    Ok(match open_to.is_empty() {
        true => vec![Finding::ok("enablebot is open to the services alone")],
        false => open_to.into_iter().map(|who| exposure_finding(&who)).collect(),
    })
}

fn exposure_finding(who: &str) -> Finding {
    Finding::fault(
        format!("the schema enablebot is open to {who}"),
        "revoke usage on schema enablebot, and take it out of the API's exposed schemas",
    )
}

/// Whether every table with a tenant is held to it.
pub(super) async fn check_row_security(setup: &DoctorConfig) -> CheckResult {
    let open = setup.query(Db::list_unprotected_tables).await?;
    let finding = |table: String| {
        Finding::fault(
            format!(
                "{table} is not held to its tenant: row-level security is off, not forced or without policy"
            ),
            format!("alter table enablebot.{table} enable row level security, force row level security"),
        )
    };
    Ok(match open.is_empty() {
        true => vec![Finding::ok("forced on every table with a tenant")],
        false => open.into_iter().map(finding).collect(),
    })
}

/// Whether the replicas have room, where they connect without a pooler.
pub(super) async fn check_connections(setup: &DoctorConfig) -> CheckResult {
    let replicas =
        setup.query(async |db| db::instances::list(&mut db.begin_cross_tenant().await?).await).await?;
    let (Some(database), Ok(server)) = (&setup.database, &setup.server) else { return Ok(Vec::new()) };
    let allowed = u32::try_from(server.connections_allowed).unwrap_or_default();
    let facts: Vec<_> = replicas.iter().map(db::instances::Instance::shared_facts).collect();
    let kept: u32 = facts.iter().map(|facts| facts.connections_kept).sum();
    let most: u32 = facts.iter().map(|facts| facts.connections).sum();
    let is_pooled = expose_urls(&database.urls) != expose_urls(&database.direct_urls);
    let told = format!(
        "{} replica(s) keep {kept} and open at most {most}; Postgres lets {allowed} in, {} are open",
        replicas.len(),
        server.connections_open
    );
    let todo = "raise max_connections, lower DATABASE_POOL_SIZE and DATABASE_MAX_OVERFLOW, or use a pooler";
    Ok(vec![match (is_pooled, kept, most) {
        (true, ..) => Finding::ok(format!("a pooler stands between; {told}")),
        (false, kept, _) if kept > allowed => Finding::fault(told, todo),
        (false, _, most) if most > allowed => Finding::warn(told, todo),
        _ => Finding::ok(told),
    }])
}

fn expose_urls(urls: &[secrecy::SecretString]) -> Vec<&str> {
    urls.iter().map(ExposeSecret::expose_secret).collect()
}

/// Whether a session of one's own can be had, for LISTEN.
pub(super) async fn check_listen_session(setup: &DoctorConfig) -> CheckResult {
    let db = setup.require_db()?;
    Ok(vec![match tokio::time::timeout(super::config::PROBE_TIMEOUT, EventListener::connect(db)).await {
        Ok(Ok(_)) => Finding::ok("sessions are one's own: LISTEN works"),
        Ok(Err(DbError::NoDirectSession)) => Finding::fault(
            "DATABASE_URL leads to a pooler, and nothing past it: nobody hears of events and changes at once",
            "name the way past the pooler in DATABASE_DIRECT_URL",
        ),
        Ok(Err(error)) => {
            Finding::fault(format!("no session for LISTEN: {error}"), "see DATABASE_DIRECT_URL")
        }
        Err(_) => Finding::fault("no session for LISTEN: no answer", "see DATABASE_DIRECT_URL"),
    }])
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn remote_database_requires_encryption() {
        let judge = |urls: &[&str], is_encrypted| {
            let urls: Vec<Url> = urls.iter().map(|url| Url::parse(url).unwrap()).collect();
            evaluate_encryption(&urls, is_encrypted).verdict
        };
        let near = [
            "postgres://u@127.0.0.1/db",
            "postgres://u@[::1]:5432/db",
            "postgres://localhost/db",
            "postgres:///db",
        ];
        assert_eq!(judge(&near, false), Severity::Ok);
        assert_eq!(judge(&["postgres://u@db.example.com/db"], false), Severity::Fault);
        assert_eq!(judge(&["postgres://u@10.0.0.4/db"], true), Severity::Warn);
        assert_eq!(judge(&["postgres://u@db.example.com/db?sslmode=require"], false), Severity::Warn);
        let full = "postgres://u@db.example.com/db?sslmode=verify-full";
        assert_eq!(judge(&[near[0], full], false), Severity::Ok);
        assert_eq!(judge(&["postgres://u@one/db", full], false), Severity::Fault);
    }
}
