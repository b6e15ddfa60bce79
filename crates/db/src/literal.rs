//! Array literals, for the statement that goes to Postgres without parameters (`deliveries.rs`).
//!
//! Whatever the elements hold stays inside the literal: quotes are doubled, and backslashes only ever come in pairs or
//! before a double quote, so that not even `standard_conforming_strings = off` lets one end it.

use std::fmt::{Display, Write};

/// `'{"a","b",NULL}'`.
pub(crate) fn push_texts<'a>(sql: &mut String, elements: impl IntoIterator<Item = Option<&'a str>>) {
    push_array(sql, elements, |sql, element| match element {
        Some(text) => push_quoted(sql, text),
        None => sql.push_str("NULL"),
    });
}

/// `'{"\\x00ff"}'`.
pub(crate) fn push_bytes<'a>(sql: &mut String, elements: impl IntoIterator<Item = &'a [u8]>) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    push_array(sql, elements, |sql, bytes| {
        sql.push_str(r#""\\x"#);
        sql.reserve(bytes.len() * 2);
        for byte in bytes {
            sql.push(DIGITS[usize::from(byte >> 4)]);
            sql.push(DIGITS[usize::from(byte & 15)]);
        }
        sql.push('"');
    });
}

/// `'{true,false}'`, or of anything else that is written in letters, digits and dashes.
pub(crate) fn push_words(sql: &mut String, elements: impl IntoIterator<Item = impl Display>) {
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

fn push_quoted(sql: &mut String, text: &str) {
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
    fn nothing_leaves_its_literal() {
        let hostile =
            [Some(r#"a'); drop table events; --"#), Some(r"\'"), Some(r#"{",NULL}"#), Some("é'é"), None];
        assert_eq!(
            pushed(|sql| push_texts(sql, hostile)),
            r#"'{"a''); drop table events; --","\\''","{\",NULL}","é''é",NULL}'"#
        );
        assert_eq!(pushed(|sql| push_texts(sql, [])), "'{}'");
    }

    #[test]
    fn bytes_and_words_are_as_postgres_reads_them() {
        let bytes = [&[0, 0x1f, 255][..], &[]];
        assert_eq!(pushed(|sql| push_bytes(sql, bytes)), r#"'{"\\x001fff","\\x"}'"#);
        assert_eq!(pushed(|sql| push_words(sql, [true, false])), "'{true,false}'");
    }
}
