//! The stretches of Markdown that may not be cut like prose: code fences and tables.
//! Source: <https://github.github.com/gfm/>

/// A run of more marks than this is an ornament: what opens and closes a fence has to fit beside a whole message.
const MAX_FENCE_LENGTH: usize = 40;

/// The line that opens a code fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence<'a> {
    /// Three or more backticks or tildes.
    pub(crate) marker: &'a str,
    /// What stands behind it: the language.
    pub(crate) info: &'a str,
}

impl<'a> Fence<'a> {
    pub(crate) fn parse_opening(line: &'a str) -> Option<Self> {
        let (mark, rest) = parse_fence_run(line).filter(|(mark, _)| mark.len() <= MAX_FENCE_LENGTH)?;
        let info = rest.trim();
        (mark.starts_with('~') || !info.contains('`')).then_some(Self { marker: mark, info })
    }

    pub(crate) fn is_closed_by(&self, line: &str) -> bool {
        parse_fence_run(line)
            .is_some_and(|(mark, rest)| mark.starts_with(self.marker) && rest.trim().is_empty())
    }
}

/// The three or more backticks or tildes that a line begins with, and what follows them.
fn parse_fence_run(line: &str) -> Option<(&str, &str)> {
    let text = line.trim_start_matches(' ');
    let mark = text.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let length = text.len() - text.trim_start_matches(mark).len();
    (line.len() - text.len() <= 3 && length >= 3).then(|| text.split_at(length))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockKind<'a> {
    Fence(Fence<'a>),
    /// With its header and delimiter rows.
    Table(&'a str),
}

/// A code fence or table, by bytes of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MarkdownBlock<'a> {
    pub(crate) kind: BlockKind<'a>,
    pub(crate) start: usize,
    /// The byte after the fence's opening line, or after the table's two first rows.
    pub(crate) body_start: usize,
    pub(crate) end: usize,
    /// Whether the text ends before the span does, or may do so.
    pub(crate) is_open: bool,
}

impl MarkdownBlock<'_> {
    /// Whether a cut here would go through it.
    pub(crate) fn is_split_at(&self, at: usize) -> bool {
        self.start < at && at < self.end
    }

    /// Takes the line that begins where the span ends, if it belongs to it.
    fn try_extend(&mut self, line: &str) -> bool {
        match self.kind {
            BlockKind::Fence(fence) => self.is_open = !fence.is_closed_by(line),
            BlockKind::Table(_) if is_table_row(line) => {}
            BlockKind::Table(_) => {
                self.is_open = false;
                return false;
            }
        }
        self.end += line.len();
        true
    }
}

/// All fences and tables of a text, in order.
pub(crate) fn parse_blocks(text: &str) -> Vec<MarkdownBlock<'_>> {
    let mut spans: Vec<MarkdownBlock<'_>> = Vec::new();
    let mut header = None;
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let start = end;
        end += line.len();
        if spans.last_mut().is_some_and(|span| span.is_open && span.try_extend(line)) {
            continue;
        }
        let opened = match header.take() {
            _ if Fence::parse_opening(line).is_some() => {
                Fence::parse_opening(line).map(|fence| (BlockKind::Fence(fence), start))
            }
            Some(at) if is_delimiter_row(line, &text[at..start]) => {
                Some((BlockKind::Table(&text[at..end]), at))
            }
            _ => None,
        };
        match opened {
            Some((kind, start)) => {
                spans.push(MarkdownBlock { kind, start, body_start: end, end, is_open: true })
            }
            None => header = is_table_row(line).then_some(start),
        }
    }
    spans
}

pub(crate) fn is_table_row(line: &str) -> bool {
    line.contains('|') && Fence::parse_opening(line).is_none()
}

/// Whether a line is the second row of the table whose first row is `header`.
fn is_delimiter_row(line: &str, header: &str) -> bool {
    let is_rule = |cell: &&str| {
        let dashes = cell.trim().trim_start_matches(':').trim_end_matches(':');
        !dashes.is_empty() && dashes.bytes().all(|byte| byte == b'-')
    };
    let rules = split_cells(line);
    is_table_row(line) && rules.iter().all(is_rule) && rules.len() == split_cells(header).len()
}

fn split_cells(row: &str) -> Vec<&str> {
    let row = row.trim();
    let row = row.strip_prefix('|').unwrap_or(row);
    let row = row.strip_suffix('|').unwrap_or(row);
    let mut escaped = false;
    let is_border = |c: char| {
        let border = c == '|' && !escaped;
        escaped = c == '\\' && !escaped;
        border
    };
    row.split(is_border).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fence_closes_with_its_own_marker() {
        let open = |line| Fence::parse_opening(line).map(|fence| (fence.marker, fence.info));
        assert_eq!(open("```rust\n"), Some(("```", "rust")));
        assert_eq!(open("   ~~~~ a ` b"), Some(("~~~~", "a ` b")));
        for line in ["``", "    ```", "```a`b", "text ```", "\t```", &"`".repeat(41)] {
            assert_eq!(open(line), None, "{line}");
        }
        let fence = Fence { marker: "~~~~", info: "" };
        assert!(fence.is_closed_by("  ~~~~~ \n") && fence.is_closed_by(&"~".repeat(99)));
        for line in ["~~~", "````", "~~~~ rust", "    ~~~~"] {
            assert!(!fence.is_closed_by(line), "{line}");
        }
    }

    #[test]
    fn tables_and_fences_are_parsed() {
        let text = "a | b\n\n| x | y\\|z |\n|:-|-:|\n| 1 | 2 |\nend\n```\n| no |\n|-|\n```\n~~~\nopen";
        let found: Vec<(&str, bool)> =
            parse_blocks(text).iter().map(|span| (&text[span.start..span.end], span.is_open)).collect();
        assert_eq!(
            found,
            [
                ("| x | y\\|z |\n|:-|-:|\n| 1 | 2 |\n", false),
                ("```\n| no |\n|-|\n```\n", false),
                ("~~~\nopen", true)
            ]
        );
    }
}
