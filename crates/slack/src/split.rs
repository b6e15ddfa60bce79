//! Where an answer that is longer than a message is cut.

/// A stretch of an answer that fits into one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The byte of the text after this part.
    pub end: usize,
    /// What goes in front: the opening of a code fence that an earlier part had to close.
    pub prefix: String,
    /// What goes behind: the closing of a code fence that goes on in the next part.
    pub suffix: String,
}

/// The part that begins at `start`, of at most `limit` bytes of the text; it ends at the text's end, or else between
/// paragraphs, lines or words, in this order, and never before `not_before`, since that much is shown already.
pub fn next_part(text: &str, start: usize, not_before: usize, limit: usize) -> Part {
    let rest = &text[start..];
    let end = if rest.len() <= limit {
        text.len()
    } else {
        let window = &rest[..rest.floor_char_boundary(limit)];
        let shown = not_before.saturating_sub(start);
        let border = |pattern: &str| {
            window.rfind(pattern).map(|at| at + pattern.len()).filter(|end| *end > shown.max(limit / 2))
        };
        start + border("\n\n").or_else(|| border("\n")).or_else(|| border(" ")).unwrap_or(window.len())
    };
    let open_before = open_fence(&text[..start]);
    let open_after = open_fence(&text[..end]);
    Part {
        end,
        prefix: open_before.map(|fence| format!("{fence}\n")).unwrap_or_default(),
        suffix: if open_after.is_some() && end < text.len() { "\n```".into() } else { String::new() },
    }
}

/// The line that opened the code fence in which the text ends.
fn open_fence(text: &str) -> Option<&str> {
    let mut open = None;
    for line in text.lines().map(str::trim_start).filter(|line| line.starts_with("```")) {
        open = if open.is_some() { None } else { Some(line.trim_end()) };
    }
    open
}
