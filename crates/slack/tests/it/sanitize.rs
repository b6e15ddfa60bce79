//! The sanitizer, with text in any pieces.

use proptest::prelude::*;
use slack::MarkdownSanitizer;

use crate::text::any_text;

fn sanitize_whole(text: &str) -> String {
    let mut sanitizer = MarkdownSanitizer::default();
    let output = sanitizer.push(text);
    output + &sanitizer.finish()
}

/// Sanitizes a text that is cut before each of these characters; positions after its end are ignored.
fn sanitize_pieces(text: &str, cuts: &[usize]) -> String {
    let mut sanitizer = MarkdownSanitizer::default();
    let mut output = String::new();
    let mut piece = String::new();
    for (at, character) in text.chars().enumerate() {
        if cuts.contains(&at) {
            output.push_str(&sanitizer.push(&std::mem::take(&mut piece)));
        }
        piece.push(character);
    }
    output.push_str(&sanitizer.push(&piece));
    output + &sanitizer.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn result_is_independent_of_pieces(text in any_text(), cuts in prop::collection::vec(0_usize..400, 0..40)) {
        let whole = sanitize_whole(&text);
        prop_assert_eq!(&sanitize_pieces(&text, &cuts), &whole);
        let every: Vec<usize> = (0..text.len()).collect();
        prop_assert_eq!(&sanitize_pieces(&text, &every), &whole);
        prop_assert!(!whole.contains('<'));
    }

    #[test]
    fn lookahead_limit_ignores_pieces(
        start in prop::sample::select(&["[", "`", "```", "![a](", "[a](<", "<https://", "[[", "   "][..]),
        length in 1_900_usize..2_100,
        end in prop::sample::select(&["](b)", "`", "\n```\n", ")", ">", "äöü", "\n\n"][..]),
        cuts in prop::collection::vec(0_usize..2_200, 0..10),
    ) {
        let text = format!("{start}{}{end} [bank.example](c) `d`", "ä".repeat(length / 2));
        prop_assert_eq!(sanitize_pieces(&text, &cuts), sanitize_whole(&text));
    }

    #[test]
    fn no_link_hides_its_target(text in any_text()) {
        let shown = sanitize_whole(&format!("{text}\n\n[bank.example](https://evil.example)"));
        prop_assert!(shown.ends_with("(https://evil.example)"));
        if !text.contains("```") && !text.contains("~~~") {
            prop_assert!(!shown.contains("bank.example](https://evil.example)"), "{}", shown);
        }
    }

    #[test]
    fn plain_text_is_unchanged(text in "[a-zA-Z0-9 äöü.,;:?'\"()*_#>|+=/-]{0,200}") {
        prop_assert_eq!(sanitize_whole(&text), text);
    }
}
