//! The secrets of the deployment itself: whether they open what is stored, and whether they are hard to guess.

use std::collections::BTreeSet;

use super::config::DoctorConfig;
use super::{CheckResult, Finding};
use crate::settings::read_key_rotation_interval;

/// 32 random bytes in base64 have at least so many different characters but once in millions of millions.
const MIN_DISTINCT_CHARS: usize = 12;

/// Tenants that are named; of more it is told how many.
pub(super) const MAX_LISTED_TENANTS: usize = 5;

/// The seal of what browsers keep.
pub(super) async fn check_session_secret(setup: &DoctorConfig) -> CheckResult {
    let Some(secret) = setup.web.text("SESSION_SECRET") else {
        return Err(Finding::skipped("SESSION_SECRET is not set"));
    };
    Ok(vec![match is_weak(&secret) {
        true => Finding::fault(
            "SESSION_SECRET can be guessed: whoever does signs in as anybody",
            "make one with `openssl rand -base64 32`; everybody has to sign in anew",
        ),
        false => Finding::ok(format!("{} characters, and not a pattern", secret.len())),
    }])
}

/// Few different characters, or words of a file of examples.
fn is_weak(secret: &str) -> bool {
    let different: BTreeSet<char> = secret.chars().collect();
    let lower = secret.to_lowercase();
    let is_example = ["example", "changeme", "change-me", "openssl rand", "secret"].iter();
    secret.len() < 32
        || different.len() < MIN_DISTINCT_CHARS
        || is_example.into_iter().any(|word| lower.contains(word))
}

/// The master keys, and every data key under them.
pub(super) async fn check_encryption_keys(setup: &DoctorConfig) -> CheckResult {
    let mut findings = list_weak_keys(&setup.web.text("ENCRYPTION_KEYS").unwrap_or_default());
    if !setup.has_master_keys {
        findings.push(Finding::skipped("ENCRYPTION_KEYS cannot be read"));
        return Ok(findings);
    }
    let older_than = read_key_rotation_interval(&mut setup.web.clone());
    let asked = setup.query(async |db| {
        let mut tx = db.begin_cross_tenant().await?;
        let unwrapped = db::diagnostics::check_data_keys(&mut tx).await?;
        Ok((unwrapped, db::operators::count_data_keys(&mut tx, older_than).await?))
    });
    let (unwrapped, counts) = match asked.await {
        Ok(asked) => asked,
        Err(finding) => {
            findings.push(finding);
            return Ok(findings);
        }
    };
    let refused = unwrapped.failed.len();
    if let Some((tenant_id, why)) = unwrapped.failed.first() {
        findings.push(Finding::fault(
            format!("{refused} data key(s) do not open, the first is of {tenant_id}: {why}"),
            "put the master key back into ENCRYPTION_KEYS; `web keys status` lists those that are needed",
        ));
    }
    if counts.due > 0 {
        findings.push(Finding::warn(
            format!("{} data key(s) are older than KEY_ROTATION_INTERVAL", counts.due),
            "`web` replaces them as it runs; `web keys rotate` does it now",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("all {} data key(s) open", unwrapped.opened)));
    }
    Ok(findings)
}

/// Keys that nobody drew, and one key under two names. The list is `id:base64`, as in `ENCRYPTION_KEYS`.
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
                "put one from `openssl rand -base64 32` in front of it, and run `web keys rotate --all`",
            ));
        }
        if let Some((other, _)) = keys.iter().take(at).find(|(_, other)| other == key) {
            findings.push(Finding::fault(
                format!("the master keys {other} and {id} are one and the same"),
                "whoever knows one knows both: make a new one, and run `web keys rotate --all`",
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
        let told: Vec<&str> = found.iter().map(|finding| finding.found.as_str()).collect();
        assert_eq!(
            told,
            ["the master key k1 can be guessed", "the master keys k2 and k3 are one and the same"]
        );
    }
}
