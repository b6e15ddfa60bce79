//! Where an answer that is longer than a message is cut: between paragraphs rather than lines, and outside code fences
//! and tables where it can be. What has to be cut is closed, and opened again in the next message.

use crate::markdown_blocks::{BlockKind, is_table_row, parse_blocks};

/// Bytes of a fence's info string that are repeated; a longer one is dropped.
const MAX_FENCE_INFO_BYTES: usize = 100;

/// Bytes of a table's first two rows that are repeated; with a fence to be closed behind it a part gets 600 at most.
const MAX_TABLE_HEAD_BYTES: usize = 550;

/// A stretch of an answer that fits into one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageChunk {
    /// The byte of the text after this part.
    pub end: usize,
    /// What goes in front: the opening of a code fence that an earlier part had to close, or the first two rows of a
    /// table that an earlier part began.
    pub prefix: String,
    /// What goes behind: the closing of a code fence that goes on in the next part.
    pub suffix: String,
}

/// The part that begins at `start`, of at most `limit` bytes of the text, or one character; it never ends before
/// `min_end`, since that much is shown already. Prefix and suffix come on top, with at most 600 bytes.
pub fn next_chunk(text: &str, start: usize, min_end: usize, max_bytes: usize) -> MessageChunk {
    let start = text.floor_char_boundary(start);
    let prefix = reopening_prefix(text, start);
    if text.len() - start <= max_bytes {
        return MessageChunk { end: text.len(), prefix, suffix: String::new() };
    }
    let end = cut_position(text, start, min_end, max_bytes);
    let suffix = closing_suffix(&format!("{prefix}{}", &text[start..end]));
    MessageChunk { end, prefix, suffix }
}

/// What has to stand before the rest of a text that was cut here.
fn reopening_prefix(text: &str, start: usize) -> String {
    let (before, rest) = text.split_at(start);
    let Some(span) = parse_blocks(before).pop().filter(|span| span.is_open) else { return String::new() };
    match span.kind {
        BlockKind::Fence(fence) if fence.info.len() > MAX_FENCE_INFO_BYTES => format!("{}\n", fence.marker),
        BlockKind::Fence(fence) => format!("{}{}\n", fence.marker, fence.info),
        BlockKind::Table(head) => {
            let goes_on = !before.ends_with('\n') || rest.lines().next().is_some_and(is_table_row);
            let repeated = goes_on && head.len() < MAX_TABLE_HEAD_BYTES;
            if repeated { format!("{}\n", head.trim_end_matches('\n')) } else { String::new() }
        }
    }
}

/// What has to stand behind a text that ends within a code fence.
fn closing_suffix(shown: &str) -> String {
    match parse_blocks(shown).last() {
        Some(span) if span.is_open => match span.kind {
            BlockKind::Fence(fence) if shown.ends_with('\n') => fence.marker.to_owned(),
            BlockKind::Fence(fence) => format!("\n{}", fence.marker),
            BlockKind::Table(_) => String::new(),
        },
        _ => String::new(),
    }
}

/// The end of a part of a text that goes on beyond the limit.
fn cut_position(text: &str, start: usize, min_end: usize, max_bytes: usize) -> usize {
    let one = text.ceil_char_boundary(start + 1);
    let most = text.floor_char_boundary(start.saturating_add(max_bytes)).max(one);
    let least = text.ceil_char_boundary(min_end).clamp(one, most);
    let spans = parse_blocks(text);
    let around = |at: usize| {
        let begun = spans.partition_point(|span| span.start < at);
        spans[..begun].last().filter(|span| span.is_split_at(at))
    };
    // A table that would be cut goes on to the next part, if it is not shown already and fits there.
    let table = around(most).filter(|span| matches!(span.kind, BlockKind::Table(_)));
    if let Some(table) = table.filter(|table| table.start >= least && table.end - table.start <= max_bytes) {
        return table.start;
    }
    // A border early in the part would leave a message nearly empty.
    let least = least.max(start.saturating_add(max_bytes / 2));
    let borders = text[..most].rmatch_indices('\n').map(|(at, _)| at + 1).take_while(|at| *at >= least);
    let borders: Vec<usize> = borders.collect();
    let is_outside = |at: usize| around(at).is_none();
    let is_in_body = |at: usize| around(at).is_some_and(|span| at > span.body_start);
    let is_paragraph = |at: usize| text[..at].ends_with("\n\n");
    let last = |fits: &dyn Fn(usize) -> bool| borders.iter().copied().find(|at| fits(*at));
    last(&|at| is_outside(at) && is_paragraph(at))
        .or_else(|| last(&is_outside))
        .or_else(|| last(&|at| is_in_body(at) && is_paragraph(at)))
        .or_else(|| last(&is_in_body))
        .or_else(|| text[..most].rfind(' ').map(|at| at + 1).filter(|at| *at >= least))
        .unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(text: &str, limit: usize) -> Vec<String> {
        let (mut start, mut parts) = (0, Vec::new());
        while start < text.len() {
            let part = next_chunk(text, start, start, limit);
            parts.push(format!("{}{}{}", part.prefix, &text[start..part.end], part.suffix));
            start = part.end;
        }
        parts
    }

    #[test]
    fn chunks_end_at_paragraphs() {
        let text = "One paragraph.\n\nAnother, longer one.\n\nThe last.";
        assert_eq!(chunks(text, 40), ["One paragraph.\n\nAnother, longer one.\n\n", "The last."]);
        for limit in 4..60 {
            assert_eq!(chunks(text, limit).concat(), text, "limit {limit}");
        }
        assert_eq!(chunks("äöü", 3), ["ä", "ö", "ü"]);
        assert_eq!(chunks("äöü", 0), ["ä", "ö", "ü"]);
    }

    #[test]
    fn cut_fence_is_closed_and_reopened() {
        let parts = chunks("```rust\nlet a = 1;\nlet b = 2;\n```\ndone", 22);
        assert_eq!(parts, ["```rust\nlet a = 1;\n```", "```rust\nlet b = 2;\n```\ndone"]);
    }

    #[test]
    fn long_fence_info_is_not_repeated() {
        let text = format!("~~~~ c\n{}", "```\n".repeat(30));
        assert_eq!(next_chunk(&text, 0, 0, 60).suffix, "~~~~");
        assert_eq!(next_chunk(&text, 59, 59, 60).prefix, "~~~~c\n");
        assert_eq!(next_chunk(&text, 60, 60, 2).suffix, "\n~~~~");
        let text = format!("``` {}\n{}", "x".repeat(101), "a\n".repeat(90));
        assert_eq!(next_chunk(&text, 200, 200, 10).prefix, "```\n");
    }

    #[test]
    fn cut_prefers_border_outside_fence() {
        let text = format!("{}\n\n```\na\n\nb\n\n{}```\n", "word ".repeat(8), "c\n".repeat(20));
        let part = next_chunk(&text, 0, 0, 60);
        assert_eq!((part.end, part.suffix.as_str()), (42, ""));
    }

    #[test]
    fn whole_table_moves_to_next_chunk() {
        let table = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n";
        let text = format!("Intro\n\n{table}\nOutro");
        assert_eq!(chunks(&text, 42), ["Intro\n\n", &format!("{table}\n"), "Outro"]);
    }

    #[test]
    fn cut_table_repeats_its_head() {
        let head = "| a | b |\n|---|---|\n";
        let text = format!("{head}{}\nOutro", "| 1 | 2 |\n".repeat(6));
        let parts = chunks(&text, 45);
        assert_eq!(parts[0], format!("{head}{}", "| 1 | 2 |\n".repeat(2)));
        assert_eq!(parts[1], format!("{head}{}\n", "| 1 | 2 |\n".repeat(4)));
        assert_eq!(parts[2], "Outro");
        // Shown already, it cannot move any more.
        let part = next_chunk(&format!("Intro\n\n{text}"), 0, 40, 50);
        assert_eq!(part.end, 47);
    }

    #[test]
    fn shown_text_is_not_cut_off() {
        assert_eq!(next_chunk("aaaa\nbbbbbbbbbbbb", 0, 9, 10).end, 10);
        assert_eq!(next_chunk("aaaa\nbbbbbbbbbbbb", 0, 7, 7).end, 7);
    }
}
