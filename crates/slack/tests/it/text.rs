//! Text that is likely to hurt: Markdown's own marks, Slack's, and characters of several bytes.

use proptest::prelude::*;

const PIECES: [&str; 41] = [
    "```",
    "````",
    "~~~",
    "`",
    "``",
    "  ```",
    "    ```",
    "rust",
    "\n",
    "\n\n",
    "\r\n",
    " ",
    "  ",
    "\t",
    "| a | b |",
    "|---|:-:|",
    "|",
    "---",
    "\\",
    "[",
    "]",
    "(",
    ")",
    "](",
    "]:",
    "![",
    "<",
    ">",
    "<https://a.example>",
    "[a](b)",
    "bank.example",
    "https://",
    "<!channel>",
    "\"",
    "!",
    "word",
    "\u{b}",
    "ä",
    "😀",
    "\u{200b}",
    "- ",
];

/// Pieces put together, or anything at all.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::collection::vec(prop::sample::select(&PIECES[..]), 0..120).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}
