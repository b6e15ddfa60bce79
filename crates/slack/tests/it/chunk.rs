//! The splitter, for any text and limits.

use proptest::prelude::*;
use slack::{MessageChunk, next_chunk};

use crate::text::any_text;

/// The parts of a text, each with where it began.
fn chunks(text: &str, limit: usize, shown: usize) -> Vec<(usize, MessageChunk)> {
    let (mut start, mut parts) = (0, Vec::new());
    while start < text.len() {
        let part = next_chunk(text, start, start + shown, limit);
        let end = part.end;
        parts.push((start, part));
        start = end;
    }
    parts
}

/// The marks of the code fence in which a text ends, read as a person would: line by line.
fn open_fence(text: &str) -> Option<String> {
    let mut open: Option<String> = None;
    for line in text.split('\n') {
        let words = line.trim_start_matches(' ');
        let marks: String =
            words.chars().take_while(|c| words.starts_with(*c) && "`~".contains(*c)).collect();
        let rest = &words[marks.len()..];
        if line.len() - words.len() > 3 || marks.len() < 3 {
            continue;
        }
        match &open {
            Some(opened) if marks.starts_with(opened.as_str()) && rest.trim().is_empty() => open = None,
            None if marks.len() <= 40 && (marks.starts_with('~') || !rest.contains('`')) => {
                open = Some(marks)
            }
            _ => {}
        }
    }
    open
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn chunks_join_to_whole_and_fit(text in any_text(), limit in 0_usize..200, shown in 0_usize..100) {
        let mut joined = String::new();
        for (start, part) in chunks(&text, limit, shown) {
            let shown_text = &text[start..part.end];
            joined.push_str(shown_text);
            prop_assert!(shown_text.len() <= limit || shown_text.chars().count() == 1);
            prop_assert!(part.prefix.len() + part.suffix.len() <= 600);
            prop_assert!(part.end >= text.len().min(start + shown.min(limit)).saturating_sub(3));
            if part.end < text.len() {
                let message = format!("{}{shown_text}{}", part.prefix, part.suffix);
                prop_assert_eq!(open_fence(&message), None, "in {:?}", message);
            }
        }
        prop_assert_eq!(joined, text);
    }

    #[test]
    fn any_start_and_limit_are_safe(text in any_text(), start: usize, shown: usize, limit: usize) {
        for start in [start, start % (text.len() + 1)] {
            let part = next_chunk(&text, start, shown, limit);
            prop_assert!(text.is_char_boundary(part.end));
        }
    }

    #[test]
    fn cut_table_repeats_head_in_each_chunk(rows in 30_usize..80, limit in 120_usize..400) {
        let head = "| number | word |\n|---|---|\n";
        let body: String = (0..rows).map(|row| format!("| {row} | word |\n")).collect();
        for (start, part) in chunks(&format!("{head}{body}"), limit, 0) {
            prop_assert_eq!(part.prefix.as_str(), if start == 0 { "" } else { head });
        }
    }
}
