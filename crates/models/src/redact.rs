//! Takes secrets and personal data out of a text, by their form. What has no form of its own, such as a name, stays.

use std::ops::Range;

/// A place in the text, and what stands there.
type RedactionSpan = (Range<usize>, &'static str);

/// How tokens begin that say so themselves.
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

/// The shortest that is taken for a token.
const MIN_TOKEN_BYTES: usize = 20;

/// How far the first line of a key, and a phone number, may go: what it costs to look must not grow with the text.
const MAX_SCAN_BYTES: usize = 80;

/// The text with `[redacted: kind]` in the place of each.
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

/// From its first line to its last; one that is cut off goes to the end.
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

/// What stands between the name and the host of an address.
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

/// The runs of characters that belong together, without the dots at their ends.
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

fn emails(text: &str) -> Vec<RedactionSpan> {
    let of_name = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
    let of_host = |c: char| c.is_alphanumeric() || ".-".contains(c);
    let all = text.match_indices('@').filter_map(|(at, _)| {
        let name = text[..at].rsplit(|c| !of_name(c)).next()?.trim_start_matches('.');
        let host = text[at + 1..].split(|c| !of_host(c)).next()?.trim_end_matches(['.', '-']);
        let (_, top) = host.rsplit_once('.')?;
        let is_one = !name.is_empty() && top.chars().count() >= 2 && top.chars().all(char::is_alphabetic);
        is_one.then_some((at - name.len()..at + 1 + host.len(), "e-mail"))
    });
    all.collect()
}

/// Letters of the country, two digits, and as many more as the checksum is right for; in groups, or in one.
fn ibans(text: &str) -> Vec<RedactionSpan> {
    let starts = text.match_indices(|c: char| c.is_ascii_uppercase()).map(|(at, _)| at);
    let all = starts.filter(|at| !is_inside_word(text, *at)).filter_map(|at| {
        let ends = group_ends(text, at, 15..=34, |c| c.is_ascii_uppercase() || c.is_ascii_digit(), " ");
        let end = ends.into_iter().rev().find(|end| is_iban(&text[at..*end]))?;
        Some((at..end, "IBAN"))
    });
    all.collect()
}

fn is_iban(text: &str) -> bool {
    let compact: Vec<u8> = text.bytes().filter(u8::is_ascii_alphanumeric).collect();
    let (country, check) = (&compact[..2], &compact[2..4]);
    if !country.iter().all(u8::is_ascii_uppercase) || !check.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let turned = compact[4..].iter().chain(&compact[..4]);
    let remainder = turned.fold(0_u32, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        _ => (sum * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    remainder == 1
}

/// 13 to 19 digits whose checksum is right.
fn cards(text: &str) -> Vec<RedactionSpan> {
    let starts = text.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| at);
    let all = starts.filter(|at| !is_inside_word(text, *at)).filter_map(|at| {
        let ends = group_ends(text, at, 13..=19, |c| c.is_ascii_digit(), " -");
        let end = ends.into_iter().rev().find(|end| passes_luhn(&text[at..*end]))?;
        Some((at..end, "card number"))
    });
    all.collect()
}

fn passes_luhn(text: &str) -> bool {
    let digits = text.bytes().rev().filter(u8::is_ascii_digit).map(|byte| u32::from(byte - b'0'));
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 =
        digits.enumerate().map(|(at, digit)| if at % 2 == 1 { doubled(digit) } else { digit }).sum();
    sum > 0 && sum.is_multiple_of(10)
}

/// International ones, those of North America in their usual forms, and those that begin with a 0 and are in groups.
fn phones(text: &str) -> Vec<RedactionSpan> {
    let starts = text.match_indices(|c: char| c.is_ascii_digit() || matches!(c, '+' | '('));
    // A group in the middle of a longer number begins none.
    let follows_digit = |at: usize| {
        let before = text[..at].strip_suffix([' ', '-', '.', '/']).unwrap_or(&text[..at]);
        before.ends_with(|c: char| c.is_ascii_digit()) && !text[at..].starts_with('+')
    };
    let starts = starts.filter(|(at, _)| !is_inside_word(text, *at) && !follows_digit(*at));
    let all = starts.filter_map(|(at, _)| {
        let of_number = |c: char| c.is_ascii_digit() || " -()./+".contains(c);
        let run = &text[at..text.floor_char_boundary(at + MAX_SCAN_BYTES)];
        let run = run.split(|c| !of_number(c)).next()?;
        let run = run.trim_end_matches(|c: char| !c.is_ascii_digit());
        let is_alone = !text[at + run.len()..].starts_with(|c: char| c.is_alphanumeric());
        (is_alone && is_phone(run)).then_some((at..at + run.len(), "phone number"))
    });
    all.collect()
}

fn is_phone(run: &str) -> bool {
    let count = run.bytes().filter(u8::is_ascii_digit).count();
    let groups: Vec<usize> =
        run.split(|c: char| !c.is_ascii_digit()).map(str::len).filter(|length| *length > 0).collect();
    if run.starts_with('+') || run.starts_with("00") {
        return (8..=17).contains(&count) && run.rfind('+').unwrap_or_default() == 0;
    }
    let is_grouped_local = run.starts_with('0')
        && !run.contains('.')
        && (9..=12).contains(&count)
        && groups.len() >= 2
        && (3..=5).contains(&groups[0]);
    groups == [3, 3, 4] || is_grouped_local
}

/// Whether what begins here is the middle of something longer.
fn is_inside_word(text: &str, at: usize) -> bool {
    text[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '+'))
}

/// Where groups of characters end that, from `at` on, have so many characters without the separators between them.
fn group_ends(
    text: &str,
    at: usize,
    lengths: std::ops::RangeInclusive<usize>,
    is_part: impl Fn(char) -> bool,
    separators: &str,
) -> Vec<usize> {
    let (mut ends, mut count, mut was_part) = (Vec::new(), 0, false);
    for (offset, c) in text[at..].char_indices() {
        if is_part(c) {
            (count, was_part) = (count + 1, true);
            continue;
        }
        let is_end = was_part && !c.is_alphanumeric();
        if is_end && lengths.contains(&count) {
            ends.push(at + offset);
        }
        if !is_end || !separators.contains(c) || count > *lengths.end() {
            return ends;
        }
        was_part = false;
    }
    if was_part && lengths.contains(&count) {
        ends.push(text.len());
    }
    ends
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
