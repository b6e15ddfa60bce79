//! Chunks of any text, with any limit.

use proptest::prelude::*;
use slack::{MessageChunk, next_chunk};

use crate::text::any_text;

/// Splits a text into chunks, each with its start.
fn chunks(text: &str, max_bytes: usize, posted: usize) -> Vec<(usize, MessageChunk)> {
    let (mut start, mut chunks) = (0, Vec::new());
    while start < text.len() {
        let chunk = next_chunk(text, start, start + posted, max_bytes);
        let end = chunk.end;
        chunks.push((start, chunk));
        start = end;
    }
    chunks
}

/// Returns the marker of the code fence that is open at the end of a text. It parses line by line,
/// independently of the crate.
fn open_fence(text: &str) -> Option<String> {
    let mut open: Option<String> = None;
    for line in text.split('\n') {
        let trimmed = line.trim_start_matches(' ');
        let marker: String =
            trimmed.chars().take_while(|c| trimmed.starts_with(*c) && "`~".contains(*c)).collect();
        let rest = &trimmed[marker.len()..];
        if line.len() - trimmed.len() > 3 || marker.len() < 3 {
            continue;
        }
        match &open {
            Some(opened) if marker.starts_with(opened.as_str()) && rest.trim().is_empty() => open = None,
            None if marker.len() <= 40 && (marker.starts_with('~') || !rest.contains('`')) => {
                open = Some(marker)
            }
            _ => {}
        }
    }
    open
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn chunks_join_to_whole_and_fit(text in any_text(), max_bytes in 0_usize..200, posted in 0_usize..100) {
        let mut joined = String::new();
        for (start, chunk) in chunks(&text, max_bytes, posted) {
            let own_text = &text[start..chunk.end];
            joined.push_str(own_text);
            prop_assert!(own_text.len() <= max_bytes || own_text.chars().count() == 1);
            prop_assert!(chunk.prefix.len() + chunk.suffix.len() <= 600);
            prop_assert!(chunk.end >= text.len().min(start + posted.min(max_bytes)).saturating_sub(3));
            if chunk.end < text.len() {
                let message = format!("{}{own_text}{}", chunk.prefix, chunk.suffix);
                prop_assert_eq!(open_fence(&message), None, "in {:?}", message);
            }
        }
        prop_assert_eq!(joined, text);
    }

    #[test]
    fn any_start_and_limit_are_safe(text in any_text(), start: usize, posted: usize, max_bytes: usize) {
        for start in [start, start % (text.len() + 1)] {
            let chunk = next_chunk(&text, start, posted, max_bytes);
            prop_assert!(text.is_char_boundary(chunk.end));
        }
    }

    #[test]
    fn cut_table_repeats_head_in_each_chunk(rows in 30_usize..80, max_bytes in 120_usize..400) {
        let head = "| number | word |\n|---|---|\n";
        let body: String = (0..rows).map(|row| format!("| {row} | word |\n")).collect();
        for (start, chunk) in chunks(&format!("{head}{body}"), max_bytes, 0) {
            prop_assert_eq!(chunk.prefix.as_str(), if start == 0 { "" } else { head });
        }
    }
}
