//! Generates difficult text: Markdown's markup, Slack's markup, and multi-byte characters.

use proptest::prelude::*;

const TEXT_FRAGMENTS: [&str; 41] = [
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

/// Generates concatenated fragments, or arbitrary text.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::collection::vec(prop::sample::select(&TEXT_FRAGMENTS[..]), 0..120).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}
