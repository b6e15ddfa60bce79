//! Redacts secrets and personal data that are recognisable by their format. Names, for example, are not, and
//! stay.

use std::ops::Range;

use crate::personal_data::{cards, emails, ibans, phones};

/// A byte range of the text, and the kind of data in it.
pub(crate) type RedactionSpan = (Range<usize>, &'static str);

/// The prefixes that mark well-known tokens.
const TOKEN_PREFIXES: [&str; 26] = [
    "sk-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "pk_live_",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxe-",
    "xoxe.",
    "xoxr-",
    "xoxs-",
    "xapp-",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "AKIA",
    "ASIA",
    "AIza",
    "npm_",
    "hf_",
    "eb_",
];

/// The minimum length of a token.
const MIN_TOKEN_BYTES: usize = 20;

/// The maximum length of a private key's first line and of a phone number. The limit keeps the scan linear.
pub(crate) const MAX_SCAN_BYTES: usize = 80;

/// Replaces secrets and personal data with `[redacted: kind]`.
pub fn redact(text: &str) -> String {
    let finders = [private_keys, url_passwords, tokens, emails, ibans, cards, phones];
    let mut found: Vec<RedactionSpan> = finders.iter().flat_map(|find| find(text)).collect();
    found.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let (mut kept, mut at) = (String::with_capacity(text.len()), 0);
    for (range, kind) in found {
        if range.start >= at {
            kept.push_str(&text[at..range.start]);
            kept.push_str(&format!("[redacted: {kind}]"));
        }
        at = at.max(range.end);
    }
    kept.push_str(&text[at.min(text.len())..]);
    kept
}

/// Finds private keys, from the first line to the last. A truncated key extends to the end of the text.
fn private_keys(text: &str) -> Vec<RedactionSpan> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(begin) = text[at..].find("-----BEGIN ").map(|begin| at + begin) {
        let line = &text[begin..text.floor_char_boundary(begin + MAX_SCAN_BYTES)];
        let line = line.lines().next().unwrap_or_default();
        at = begin + "-----BEGIN ".len();
        if line.contains("PRIVATE KEY") {
            let end = text[at..].find("-----END ").map(|end| at + end + "-----END ".len());
            let end = end.map(|end| end + text[end..].find("-----").map_or(0, |rest| rest + 5));
            at = end.unwrap_or(text.len());
            found.push((begin..at, "private key"));
        }
    }
    found
}

/// Finds passwords in URLs, between the user name and the host.
fn url_passwords(text: &str) -> Vec<RedactionSpan> {
    let passwords = text.match_indices("://").filter_map(|(at, mark)| {
        let begin = at + mark.len();
        let stops = |c: char| c.is_whitespace() || "/?#\"'`<>|".contains(c);
        let authority = text[begin..].split(stops).next()?;
        let login = &authority[..authority.rfind('@')?];
        let password = begin + login.find(':')? + 1;
        let end = begin + login.len();
        (end > password).then_some((password..end, "password"))
    });
    passwords.collect()
}

fn tokens(text: &str) -> Vec<RedactionSpan> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_token = |word: &str| {
        let named = TOKEN_PREFIXES.iter().any(|start| word.starts_with(start));
        let is_jwt = word.starts_with("eyJ") && word.split('.').filter(|part| part.len() >= 10).count() == 3;
        word.len() >= MIN_TOKEN_BYTES && (is_jwt || named && word.bytes().any(|byte| byte.is_ascii_digit()))
    };
    let words = word_ranges(text, is_part).into_iter();
    words.filter(|range| is_token(&text[range.clone()])).map(|range| (range, "token")).collect()
}

/// Returns the ranges of consecutive characters that match, without trailing dots.
fn word_ranges(text: &str, is_part: impl Fn(char) -> bool) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(&is_part) {
        let from = &rest[begin..];
        let word = &from[..from.find(|c| !is_part(c)).unwrap_or(from.len())];
        rest = &from[word.len()..];
        let start = text.len() - rest.len() - word.len();
        words.push(start..start + word.trim_end_matches('.').len());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_personal_data_are_redacted() {
        let cases = [
            ("key sk-proj-abcDEF123456ghiJKL789 here", "key [redacted: token] here"),
            ("xoxb-123456789012-abcdefABCDEF.", "[redacted: token]."),
            ("AKIAIOSFODNN7EXAMPLE", "[redacted: token]"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "[redacted: token]"),
            ("postgres://app:s3cr:e@t@db:5432/x", "postgres://app:[redacted: password]@db:5432/x"),
            (
                "mail ada@example.com, or <mailto:b.c+d@x.co.uk|b>",
                "mail [redacted: e-mail], or <mailto:[redacted: e-mail]|b>",
            ),
            ("pay 4111 1111 1111 1111 12/27", "pay [redacted: card number] 12/27"),
            ("5500-0000-0000-0004!", "[redacted: card number]!"),
            ("to DE89 3704 0044 0532 0130 00 please", "to [redacted: IBAN] please"),
            ("GB82WEST12345698765432", "[redacted: IBAN]"),
            (
                "call +49 30 1234567 or (555) 123-4567.",
                "call [redacted: phone number] or [redacted: phone number].",
            ),
            ("020 7946 0958", "[redacted: phone number]"),
            (
                "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb",
                "a\n[redacted: private key]\nb",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMIIE", "[redacted: private key]"),
        ];
        for (text, expected) in cases {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn lookalikes_are_not_redacted() {
        for text in [
            "",
            "on 2026-11-25 at 10:15, 01.02.2026, 25/11/2026",
            "version 1.2.3.4, 192.168.100.200:8080",
            "1234 5678 9012 3456 is no card",
            "DE00 3704 0044 0532 0130 00",
            "10,000,000 rows in 1732500000.000100",
            "sk-learn-is-a-library-of-python, sk-short",
            "a@b, @channel, user@localhost, x = y @ z",
            "https://example.com:8080/a@b, http://user@host/",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            "order 123456789, ticket ABC-1234, 550e8400-e29b-41d4-a716-446655440000",
            "0 0 0 0 0 0 0 0 0 0 0 0 0 0",
        ] {
            assert_eq!(redact(text), text);
        }
    }
}
