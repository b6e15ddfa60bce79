//! Splits a long reply into messages: between paragraphs rather than lines, and outside code fences and
//! tables if possible. A fence that has to be split is closed, and reopened in the next message.

use crate::markdown_blocks::{BlockKind, is_table_row, parse_blocks};

/// The longest info string of a fence that is repeated; a longer one is dropped.
const MAX_FENCE_INFO_BYTES: usize = 100;

/// The longest table head (its first two rows) that is repeated. With a closing fence, a chunk gets at most
/// 600 extra bytes.
const MAX_TABLE_HEAD_BYTES: usize = 550;

/// A part of a reply that fits into one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageChunk {
    /// The byte offset of the chunk's end in the text.
    pub end: usize,
    /// The text to put before the chunk: the opening of a code fence that an earlier chunk had to close, or
    /// the first two rows of a table that began in an earlier chunk.
    pub prefix: String,
    /// The text to put after the chunk: the end of a code fence that continues in the next chunk.
    pub suffix: String,
}

/// Returns the chunk that begins at `start`. It has at most `max_bytes` bytes of the text, or one character,
/// plus at most 600 bytes of prefix and suffix. It does not end before `min_end`, since that much is already
/// posted.
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

/// Returns the prefix for the rest of a text that is cut at `start`.
fn reopening_prefix(text: &str, start: usize) -> String {
    let (before, rest) = text.split_at(start);
    let Some(block) = parse_blocks(before).pop().filter(|block| block.is_open) else { return String::new() };
    match block.kind {
        BlockKind::Fence(fence) if fence.info.len() > MAX_FENCE_INFO_BYTES => format!("{}\n", fence.marker),
        BlockKind::Fence(fence) => format!("{}{}\n", fence.marker, fence.info),
        BlockKind::Table(head) => {
            let continues = !before.ends_with('\n') || rest.lines().next().is_some_and(is_table_row);
            let is_repeated = continues && head.len() < MAX_TABLE_HEAD_BYTES;
            if is_repeated { format!("{}\n", head.trim_end_matches('\n')) } else { String::new() }
        }
    }
}

/// Returns the suffix that closes an open code fence; empty if there is none.
fn closing_suffix(shown: &str) -> String {
    match parse_blocks(shown).last() {
        Some(block) if block.is_open => match block.kind {
            BlockKind::Fence(fence) if shown.ends_with('\n') => fence.marker.to_owned(),
            BlockKind::Fence(fence) => format!("\n{}", fence.marker),
            BlockKind::Table(_) => String::new(),
        },
        _ => String::new(),
    }
}

/// Returns the best position to cut a text that exceeds `max_bytes`.
fn cut_position(text: &str, start: usize, min_end: usize, max_bytes: usize) -> usize {
    let first_char_end = text.ceil_char_boundary(start + 1);
    let most = text.floor_char_boundary(start.saturating_add(max_bytes)).max(first_char_end);
    let least = text.ceil_char_boundary(min_end).clamp(first_char_end, most);
    let blocks = parse_blocks(text);
    let block_around = |at: usize| {
        let begun = blocks.partition_point(|block| block.start < at);
        blocks[..begun].last().filter(|block| block.is_split_at(at))
    };
    // A table that would be cut moves to the next chunk, if it fits there and is not posted yet.
    let table = block_around(most).filter(|block| matches!(block.kind, BlockKind::Table(_)));
    if let Some(table) = table.filter(|table| table.start >= least && table.end - table.start <= max_bytes) {
        return table.start;
    }
    // A cut near the start would leave a message nearly empty.
    let least = least.max(start.saturating_add(max_bytes / 2));
    let line_ends = text[..most].rmatch_indices('\n').map(|(at, _)| at + 1).take_while(|at| *at >= least);
    let line_ends: Vec<usize> = line_ends.collect();
    let is_outside = |at: usize| block_around(at).is_none();
    let is_in_body = |at: usize| block_around(at).is_some_and(|block| at > block.body_start);
    let is_paragraph = |at: usize| text[..at].ends_with("\n\n");
    let last = |fits: &dyn Fn(usize) -> bool| line_ends.iter().copied().find(|at| fits(*at));
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
        // A table that is already posted cannot move.
        let part = next_chunk(&format!("Intro\n\n{text}"), 0, 40, 50);
        assert_eq!(part.end, 47);
    }

    #[test]
    fn shown_text_is_not_cut_off() {
        assert_eq!(next_chunk("aaaa\nbbbbbbbbbbbb", 0, 9, 10).end, 10);
        assert_eq!(next_chunk("aaaa\nbbbbbbbbbbbb", 0, 7, 7).end, 7);
    }
}
