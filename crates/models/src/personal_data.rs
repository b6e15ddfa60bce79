//! Finds personal data in a text: e-mail addresses, IBANs, card numbers and phone numbers.

use std::ops::RangeInclusive;

use crate::redact::{MAX_SCAN_BYTES, RedactionSpan};

/// Finds e-mail addresses.
pub(crate) fn emails(text: &str) -> Vec<RedactionSpan> {
    let is_name_char = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
    let is_host_char = |c: char| c.is_alphanumeric() || ".-".contains(c);
    let all = text.match_indices('@').filter_map(|(at, _)| {
        let name = text[..at].rsplit(|c| !is_name_char(c)).next()?.trim_start_matches('.');
        let host = text[at + 1..].split(|c| !is_host_char(c)).next()?.trim_end_matches(['.', '-']);
        let (_, top) = host.rsplit_once('.')?;
        let is_one = !name.is_empty() && top.chars().count() >= 2 && top.chars().all(char::is_alphabetic);
        is_one.then_some((at - name.len()..at + 1 + host.len(), "e-mail"))
    });
    all.collect()
}

/// Finds IBANs: a country code, two check digits, and the longest rest with a valid checksum, grouped or not.
pub(crate) fn ibans(text: &str) -> Vec<RedactionSpan> {
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
    let rotated = compact[4..].iter().chain(&compact[..4]);
    let remainder = rotated.fold(0_u32, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        _ => (sum * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    remainder == 1
}

/// Finds card numbers: 13 to 19 digits with a valid checksum.
pub(crate) fn cards(text: &str) -> Vec<RedactionSpan> {
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

/// Finds phone numbers: international ones, North American ones in their usual formats, and grouped ones that
/// start with 0.
pub(crate) fn phones(text: &str) -> Vec<RedactionSpan> {
    let starts = text.match_indices(|c: char| c.is_ascii_digit() || matches!(c, '+' | '('));
    // A group in the middle of a longer number does not start a phone number.
    let follows_digit = |at: usize| {
        let before = text[..at].strip_suffix([' ', '-', '.', '/']).unwrap_or(&text[..at]);
        before.ends_with(|c: char| c.is_ascii_digit()) && !text[at..].starts_with('+')
    };
    let starts = starts.filter(|(at, _)| !is_inside_word(text, *at) && !follows_digit(*at));
    let all = starts.filter_map(|(at, _)| {
        let is_number_char = |c: char| c.is_ascii_digit() || " -()./+".contains(c);
        let run = &text[at..text.floor_char_boundary(at + MAX_SCAN_BYTES)];
        let run = run.split(|c| !is_number_char(c)).next()?;
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

/// Returns true if the position is inside a longer word or number.
fn is_inside_word(text: &str, at: usize) -> bool {
    text[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '+'))
}

/// Returns the group ends at which the characters since `at`, not counting separators, have one of these
/// lengths.
fn group_ends(
    text: &str,
    at: usize,
    lengths: RangeInclusive<usize>,
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
