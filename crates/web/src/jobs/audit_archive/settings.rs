//! Settings of the audit log's retention and archive.

use service::Environment;
use storage::StorageSettings as ArchiveSettings;
use url::Url;

/// Retention and archive of the audit log. By default entries are kept forever, and only in the database.
#[derive(Debug, Default)]
pub(crate) struct AuditSettings {
    /// `AUDIT_RETENTION_DAYS`: older entries are removed.
    pub(crate) retention_days: Option<i32>,
    /// `AUDIT_ARCHIVE_BUCKET`, with `SUPABASE_URL` and `SUPABASE_SERVICE_KEY`: entries are archived before
    /// removal.
    pub(crate) archive: Option<ArchiveSettings>,
}

impl AuditSettings {
    /// Reads the variables; problems are noted in `env`.
    pub(crate) fn read(env: &mut Environment) -> Self {
        let retention_days = env.optional("AUDIT_RETENTION_DAYS", "365", |text| {
            let days = text.trim().parse().ok().filter(|days| (1..=36_500).contains(days));
            days.ok_or_else(|| "is not a whole number from 1 to 36500".to_owned())
        });
        Self { retention_days, archive: read_archive(env) }
    }
}

pub(crate) fn read_archive(env: &mut Environment) -> Option<ArchiveSettings> {
    let bucket = env.optional("AUDIT_ARCHIVE_BUCKET", "audit", parse_bucket)?;
    let url = env.required("SUPABASE_URL", "https://abcdefgh.supabase.co", parse_url);
    let service_key = env.required("SUPABASE_SERVICE_KEY", "sb_secret_…", service::parse_secret);
    Some(ArchiveSettings { url: url?, service_key: service_key?, bucket })
}

fn parse_bucket(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match text.bytes().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err("may contain only letters, digits, - and _".into()),
    }
}

/// Parses an address that the service key is sent to: https, except on loopback.
fn parse_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text.trim()).map_err(|error| format!("is not an address ({error})"))?;
    let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() == "https" || (url.scheme() == "http" && is_loopback) {
        true => Ok(url.as_str().trim_end_matches('/').to_owned()),
        false => Err("does not begin with https://".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_settings_require_https_and_plain_name() {
        assert_eq!(parse_url(" https://abc.supabase.co/ "), Ok("https://abc.supabase.co".to_owned()));
        assert_eq!(parse_url("http://127.0.0.1:54321"), Ok("http://127.0.0.1:54321".to_owned()));
        for wrong in ["http://abc.supabase.co", "ftp://localhost", "abc"] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_bucket("audit-log_1"), Ok("audit-log_1".to_owned()));
        for wrong in ["..", "a/b", "a b", "a?b"] {
            assert!(parse_bucket(wrong).is_err(), "{wrong}");
        }
    }
}
