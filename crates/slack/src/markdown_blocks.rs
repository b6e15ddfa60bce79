//! Finds the parts of Markdown that must not be cut like prose: code fences and tables.
//! Source: <https://github.github.com/gfm/>

/// The longest fence marker. A longer run is not a fence: the marker has to fit into a message beside a whole
/// chunk.
const MAX_FENCE_LENGTH: usize = 40;

/// The line that opens a code fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence<'a> {
    /// Three or more backticks or tildes.
    pub(crate) marker: &'a str,
    /// The info string after the marker: the language.
    pub(crate) info: &'a str,
}

impl<'a> Fence<'a> {
    pub(crate) fn parse_opening(line: &'a str) -> Option<Self> {
        let (marker, rest) = parse_fence_run(line).filter(|(marker, _)| marker.len() <= MAX_FENCE_LENGTH)?;
        let info = rest.trim();
        (marker.starts_with('~') || !info.contains('`')).then_some(Self { marker, info })
    }

    pub(crate) fn is_closed_by(&self, line: &str) -> bool {
        parse_fence_run(line)
            .is_some_and(|(marker, rest)| marker.starts_with(self.marker) && rest.trim().is_empty())
    }
}

/// Splits a line into its leading run of three or more backticks or tildes, and the rest.
fn parse_fence_run(line: &str) -> Option<(&str, &str)> {
    let text = line.trim_start_matches(' ');
    let marker = text.chars().next().filter(|marker| matches!(marker, '`' | '~'))?;
    let length = text.len() - text.trim_start_matches(marker).len();
    (line.len() - text.len() <= 3 && length >= 3).then(|| text.split_at(length))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockKind<'a> {
    Fence(Fence<'a>),
    /// A table, with its header and delimiter rows.
    Table(&'a str),
}

/// A code fence or table, with byte offsets into the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MarkdownBlock<'a> {
    pub(crate) kind: BlockKind<'a>,
    pub(crate) start: usize,
    /// The offset after the fence's opening line, or after the table's first two rows.
    pub(crate) body_start: usize,
    pub(crate) end: usize,
    /// True if the block may continue after the end of the text.
    pub(crate) is_open: bool,
}

impl MarkdownBlock<'_> {
    /// Returns true if a cut at this offset would split the block.
    pub(crate) fn is_split_at(&self, at: usize) -> bool {
        self.start < at && at < self.end
    }

    /// Appends the next line, if it belongs to the block.
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

/// Returns all fences and tables of a text, in order.
pub(crate) fn parse_blocks(text: &str) -> Vec<MarkdownBlock<'_>> {
    let mut blocks: Vec<MarkdownBlock<'_>> = Vec::new();
    let mut header = None;
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let start = end;
        end += line.len();
        if blocks.last_mut().is_some_and(|block| block.is_open && block.try_extend(line)) {
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
                blocks.push(MarkdownBlock { kind, start, body_start: end, end, is_open: true })
            }
            None => header = is_table_row(line).then_some(start),
        }
    }
    blocks
}

pub(crate) fn is_table_row(line: &str) -> bool {
    line.contains('|') && Fence::parse_opening(line).is_none()
}

/// Returns true if the line is the delimiter row of a table with this header row.
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
            parse_blocks(text).iter().map(|block| (&text[block.start..block.end], block.is_open)).collect();
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
