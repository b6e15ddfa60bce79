//! SQL literals, for statements that are sent to Postgres without parameters (`event_inbox.rs`).
//!
//! No element can leave its literal: quotes are doubled, and backslashes occur only in pairs or before a
//! double quote, so not even `standard_conforming_strings = off` lets an element end it.

use std::fmt::{Display, Write};

/// Appends `E'a'`, whose prefix defines the meaning of backslashes. Characters that Postgres cannot store are
/// replaced, so the statement never ends there.
pub(crate) fn push_text(sql: &mut String, text: &str) {
    sql.push_str("E'");
    for character in text.chars() {
        match character {
            '\0' => sql.push(char::REPLACEMENT_CHARACTER),
            '\'' | '\\' => sql.extend([character, character]),
            _ => sql.push(character),
        }
    }
    sql.push('\'');
}

/// Appends `'{"a","b",NULL}'`.
pub(crate) fn push_text_array<'a>(sql: &mut String, elements: impl IntoIterator<Item = Option<&'a str>>) {
    push_array(sql, elements, |sql, element| match element {
        Some(text) => push_array_text(sql, text),
        None => sql.push_str("NULL"),
    });
}

/// Appends `decode('00ff','hex')`: these bytes, concatenated.
pub(crate) fn push_bytes<'a>(sql: &mut String, bytes: impl IntoIterator<Item = &'a [u8]>) {
    sql.push_str("decode('");
    let mut digits = Vec::new();
    for bytes in bytes {
        digits.resize(bytes.len() * 2, 0);
        // Fails only if the lengths differ.
        let written = hex::encode_to_slice(bytes, &mut digits);
        debug_assert!(written.is_ok());
        sql.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    }
    sql.push_str("','hex')");
}

/// Appends `'{true,false}'`, or other values made of letters, digits and dashes.
pub(crate) fn push_scalar_array(sql: &mut String, elements: impl IntoIterator<Item = impl Display>) {
    push_array(sql, elements, |sql, element| {
        // Writing to a String does not fail.
        let _ = write!(sql, "{element}");
    });
}

fn push_array<T>(sql: &mut String, elements: impl IntoIterator<Item = T>, push: impl Fn(&mut String, T)) {
    sql.push_str("'{");
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            sql.push(',');
        }
        push(sql, element);
    }
    sql.push_str("}'");
}

fn push_array_text(sql: &mut String, text: &str) {
    sql.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '"', '\'']) {
        sql.push_str(&rest[..at]);
        sql.push_str(match &rest[at..=at] {
            "\\" => r"\\",
            "\"" => r#"\""#,
            _ => "''",
        });
        rest = &rest[at + 1..];
    }
    sql.push_str(rest);
    sql.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(push: impl FnOnce(&mut String)) -> String {
        let mut sql = String::new();
        push(&mut sql);
        sql
    }

    #[test]
    fn sql_literal_cannot_be_escaped() {
        let hostile =
            [Some(r#"a'); drop table events; --"#), Some(r"\'"), Some(r#"{",NULL}"#), Some("é'é"), None];
        assert_eq!(
            pushed(|sql| push_text_array(sql, hostile)),
            r#"'{"a''); drop table events; --","\\''","{\",NULL}","é''é",NULL}'"#
        );
        assert_eq!(pushed(|sql| push_text_array(sql, [])), "'{}'");
        assert_eq!(pushed(|sql| push_text(sql, "T'\\\0; é")), "E'T''\\\\\u{fffd}; é'");
    }

    #[test]
    fn bytes_and_scalars_use_postgres_syntax() {
        let bytes = [&[0, 0x1f, 255][..], &[], &[16]];
        assert_eq!(pushed(|sql| push_bytes(sql, bytes)), "decode('001fff10','hex')");
        assert_eq!(pushed(|sql| push_scalar_array(sql, [true, false])), "'{true,false}'");
    }
}
