//! Checks of Postgres: reachable, up to date, and closed to everyone else.

use std::net::IpAddr;

use db::{Db, DbError, EventListener};
use secrecy::ExposeSecret;
use url::Url;

use super::config::DoctorConfig;
use super::finding::{CheckResult, Finding};

/// Checks the server and the role that the services use.
pub(super) async fn check_server(setup: &DoctorConfig) -> CheckResult {
    let server = match &setup.server {
        Ok(server) => server,
        Err(reason) => {
            let remedy = match reason.contains("DATABASE_ROOT_CERT") {
                true => "Supabase: Project Settings, Database, SSL Configuration, download certificate",
                false => "check DATABASE_URL, the database's allowed addresses and its firewall",
            };
            return Ok(vec![Finding::fault(format!("cannot connect: {reason}"), remedy)]);
        }
    };
    let mut findings = Vec::new();
    if !server.is_primary {
        findings.push(Finding::fault("read-only: this is a standby", "set DATABASE_URL to the primary"));
    }
    if !server.is_durable {
        findings.push(Finding::fault(
            "a crash can lose acknowledged events: fsync or synchronous_commit is off",
            "turn both on",
        ));
    }
    let excess = setup.require_db()?.find_excess_rights().await.unwrap_or_default();
    if !excess.is_empty() {
        findings.push(Finding::warn(
            format!("the role {} {excess}, which the services do not need", server.role),
            "give the services a role of their own: deploy/README.md, Database roles",
        ));
    }
    if setup.schema.is_ok() && !server.has_service_roles {
        let roles = "enablebot_tenant, enablebot_service";
        findings.push(Finding::fault(
            format!("the role {} is not a member of {roles}", server.role),
            format!("grant {roles} to {}", server.role),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("Postgres {}, as {}", server.version, server.role)));
    }
    Ok(findings)
}

/// Checks that the connection is encrypted.
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
    let remedy = "append ?sslmode=verify-full to DATABASE_URL, and set DATABASE_ROOT_CERT for a private CA";
    if modes.is_empty() {
        Finding::ok("not needed: the database is on this machine")
    } else if all_are(&["verify-full"]) {
        Finding::ok("encrypted, and the server's identity is verified")
    } else if all_are(&["verify-full", "verify-ca", "require"]) || is_encrypted {
        Finding::warn("encrypted, but the server's identity is not verified", remedy)
    } else {
        Finding::fault("the connection is not encrypted", remedy)
    }
}

/// Returns true if the address is on this machine.
pub(super) fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        // Without a host, or with a directory in its place, it is a Unix socket.
        Err(_) => host.is_empty() || host == "localhost" || host.starts_with("%2F"),
    }
}

/// Checks that the schema matches this binary.
pub(super) async fn check_migrations(setup: &DoctorConfig) -> CheckResult {
    setup.require_db()?;
    Ok(vec![match &setup.schema {
        Ok(()) => Finding::ok("all migrations of this release are applied"),
        Err(reason) => Finding::fault(reason.clone(), "run `web migrate`"),
    }])
}

/// Checks that no other role can read the schema.
pub(super) async fn check_schema_exposure(setup: &DoctorConfig) -> CheckResult {
    let open_to = setup.query(Db::list_exposures).await?;
    Ok(match open_to.is_empty() {
        true => vec![Finding::ok("only the services can access enablebot")],
        false => open_to.into_iter().map(|role| exposure_finding(&role)).collect(),
    })
}

fn exposure_finding(role: &str) -> Finding {
    Finding::fault(
        format!("the schema enablebot is open to {role}"),
        "revoke usage on schema enablebot, and remove it from the API's exposed schemas",
    )
}

/// Checks row-level security on every table with a tenant.
pub(super) async fn check_row_security(setup: &DoctorConfig) -> CheckResult {
    let open = setup.query(Db::list_unprotected_tables).await?;
    let finding = |table: String| {
        Finding::fault(
            format!(
                "{table} does not isolate tenants: row-level security is off, not forced or without a policy"
            ),
            format!("alter table enablebot.{table} enable row level security, force row level security"),
        )
    };
    Ok(match open.is_empty() {
        true => vec![Finding::ok("forced on every table with a tenant")],
        false => open.into_iter().map(finding).collect(),
    })
}

/// Checks that Postgres accepts as many connections as the replicas may open, unless there is a pooler.
pub(super) async fn check_connections(setup: &DoctorConfig) -> CheckResult {
    let replicas =
        setup.query(async |db| db::instances::list(&mut db.begin_cross_tenant().await?).await).await?;
    let (Some(database), Ok(server)) = (&setup.database, &setup.server) else { return Ok(Vec::new()) };
    let allowed = u32::try_from(server.connections_allowed).unwrap_or_default();
    let facts: Vec<_> = replicas.iter().map(db::instances::Instance::shared_facts).collect();
    let kept: u32 = facts.iter().map(|facts| facts.connections_kept).sum();
    let max: u32 = facts.iter().map(|facts| facts.connections).sum();
    let is_pooled = expose_urls(&database.urls) != expose_urls(&database.direct_urls);
    let found = format!(
        "{} replica(s) keep {kept} and open at most {max}; Postgres allows {allowed}, {} are open",
        replicas.len(),
        server.connections_open
    );
    let remedy = "raise max_connections, lower DATABASE_POOL_SIZE and DATABASE_MAX_OVERFLOW, or use a pooler";
    Ok(vec![match (is_pooled, kept, max) {
        (true, ..) => Finding::ok(format!("through a pooler; {found}")),
        (false, kept, _) if kept > allowed => Finding::fault(found, remedy),
        (false, _, max) if max > allowed => Finding::warn(found, remedy),
        _ => Finding::ok(found),
    }])
}

fn expose_urls(urls: &[secrecy::SecretString]) -> Vec<&str> {
    urls.iter().map(ExposeSecret::expose_secret).collect()
}

/// Checks that a session for LISTEN can be opened.
pub(super) async fn check_listen_session(setup: &DoctorConfig) -> CheckResult {
    let db = setup.require_db()?;
    Ok(vec![match tokio::time::timeout(super::config::PROBE_TIMEOUT, EventListener::connect(db)).await {
        Ok(Ok(_)) => Finding::ok("LISTEN works"),
        Ok(Err(DbError::NoDirectSession)) => Finding::fault(
            "DATABASE_URL points to a pooler, and there is no direct connection: events are noticed late",
            "set DATABASE_DIRECT_URL to an address that bypasses the pooler",
        ),
        Ok(Err(error)) => {
            Finding::fault(format!("no session for LISTEN: {error}"), "check DATABASE_DIRECT_URL")
        }
        Err(_) => Finding::fault("no session for LISTEN: timed out", "check DATABASE_DIRECT_URL"),
    }])
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn remote_database_requires_encryption() {
        let verdict = |urls: &[&str], is_encrypted| {
            let urls: Vec<Url> = urls.iter().map(|url| Url::parse(url).unwrap()).collect();
            evaluate_encryption(&urls, is_encrypted).verdict
        };
        let local = [
            "postgres://u@127.0.0.1/db",
            "postgres://u@[::1]:5432/db",
            "postgres://localhost/db",
            "postgres:///db",
        ];
        assert_eq!(verdict(&local, false), Severity::Ok);
        assert_eq!(verdict(&["postgres://u@db.example.com/db"], false), Severity::Fault);
        assert_eq!(verdict(&["postgres://u@10.0.0.4/db"], true), Severity::Warn);
        assert_eq!(verdict(&["postgres://u@db.example.com/db?sslmode=require"], false), Severity::Warn);
        let full = "postgres://u@db.example.com/db?sslmode=verify-full";
        assert_eq!(verdict(&[local[0], full], false), Severity::Ok);
        assert_eq!(verdict(&["postgres://u@one/db", full], false), Severity::Fault);
    }
}
