//! Checks of the deployment's own secrets: hard to guess, and able to decrypt the stored data.

use std::collections::BTreeSet;

use super::config::DoctorConfig;
use super::finding::{CheckResult, Finding};
use crate::settings::read_key_rotation_interval;

/// 32 random bytes in base64 have fewer different characters only once in trillions of cases.
const MIN_DISTINCT_CHARS: usize = 12;

/// Tenants that a finding names; further ones are only counted.
pub(super) const MAX_LISTED_TENANTS: usize = 5;

/// Checks the secret that encrypts cookies.
pub(super) async fn check_session_secret(setup: &DoctorConfig) -> CheckResult {
    let Some(secret) = setup.web.text("SESSION_SECRET") else {
        return Err(Finding::skipped("SESSION_SECRET is not set"));
    };
    Ok(vec![match is_weak(&secret) {
        true => Finding::fault(
            "SESSION_SECRET can be guessed: an attacker could sign in as anyone",
            "create one with `openssl rand -base64 32`; everyone has to sign in again",
        ),
        false => Finding::ok(format!("{} characters, looks random", secret.len())),
    }])
}

/// Returns true for a secret that is short, has few different characters, or contains words of an example.
fn is_weak(secret: &str) -> bool {
    let different: BTreeSet<char> = secret.chars().collect();
    let lower = secret.to_lowercase();
    let is_example = ["example", "changeme", "change-me", "openssl rand", "secret"].iter();
    secret.len() < 32
        || different.len() < MIN_DISTINCT_CHARS
        || is_example.into_iter().any(|word| lower.contains(word))
}

/// Checks the master keys, and decrypts every data key with them.
pub(super) async fn check_encryption_keys(setup: &DoctorConfig) -> CheckResult {
    let mut findings = list_weak_keys(&setup.web.text("ENCRYPTION_KEYS").unwrap_or_default());
    if !setup.has_master_keys {
        findings.push(Finding::skipped("ENCRYPTION_KEYS is not set or malformed"));
        return Ok(findings);
    }
    let older_than = read_key_rotation_interval(&mut setup.web.clone());
    let checked = setup.query(async |db| {
        let mut tx = db.begin_cross_tenant().await?;
        let unwrapped = db::diagnostics::check_data_keys(&mut tx).await?;
        Ok((unwrapped, db::operators::count_data_keys(&mut tx, older_than).await?))
    });
    let (unwrapped, counts) = match checked.await {
        Ok(checked) => checked,
        Err(finding) => {
            findings.push(finding);
            return Ok(findings);
        }
    };
    let failed = unwrapped.failed.len();
    if let Some((tenant_id, reason)) = unwrapped.failed.first() {
        findings.push(Finding::fault(
            format!("{failed} data key(s) cannot be decrypted, the first is of {tenant_id}: {reason}"),
            "put the master key back into ENCRYPTION_KEYS; `web keys status` lists the keys that are needed",
        ));
    }
    if counts.due > 0 {
        findings.push(Finding::warn(
            format!("{} data key(s) are older than KEY_ROTATION_INTERVAL", counts.due),
            "`web` replaces them in the background; `web keys rotate` does it now",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("all {} data key(s) can be decrypted", unwrapped.opened)));
    }
    Ok(findings)
}

/// Finds keys that are not random, and a key under two ids. The list has the format of `ENCRYPTION_KEYS`.
fn list_weak_keys(list: &str) -> Vec<Finding> {
    let keys: Vec<(&str, &str)> = list
        .split(',')
        .filter_map(|entry| entry.trim().split_once(':'))
        .map(|(id, key)| (id.trim(), key.trim()))
        .collect();
    let mut findings = Vec::new();
    for (at, (id, key)) in keys.iter().enumerate() {
        let different: BTreeSet<char> = key.chars().collect();
        if different.len() < MIN_DISTINCT_CHARS {
            findings.push(Finding::fault(
                format!("the master key {id} can be guessed"),
                "prepend one from `openssl rand -base64 32`, and run `web keys rotate --all`",
            ));
        }
        if let Some((other, _)) = keys.iter().take(at).find(|(_, other)| other == key) {
            findings.push(Finding::fault(
                format!("the master keys {other} and {id} are the same key"),
                "create a new one, and run `web keys rotate --all`",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM_KEY: &str = "q83vEjRWeJq83vEjRWeJqk1uT2pXcZbLd5sGhYwKf0A=";

    #[test]
    fn weak_secret_is_found_and_not_shown() {
        assert!(!is_weak(RANDOM_KEY));
        for weak in
            [&"a".repeat(64), "please-change-me-please-change-me-0123456789", "short", &"abc123".repeat(8)]
        {
            assert!(is_weak(weak), "{weak}");
        }
        assert!(list_weak_keys(&format!("k1:{RANDOM_KEY}")).is_empty());
        let zeros = format!("{}=", "A".repeat(43));
        let found = list_weak_keys(&format!("k1:{zeros},k2:{RANDOM_KEY},k3:{RANDOM_KEY}"));
        let texts: Vec<&str> = found.iter().map(|finding| finding.found.as_str()).collect();
        assert_eq!(texts, ["the master key k1 can be guessed", "the master keys k2 and k3 are the same key"]);
    }
}
