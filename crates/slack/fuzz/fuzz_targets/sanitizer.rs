//! Any text in two pieces: the output is the same as for one piece, and contains no `<`.
#![no_main]

use slack::MarkdownSanitizer;

fn sanitize(pieces: &[&str]) -> String {
    let mut sanitizer = MarkdownSanitizer::default();
    let output: String = pieces.iter().map(|piece| sanitizer.push(piece)).collect();
    output + &sanitizer.finish()
}

libfuzzer_sys::fuzz_target!(|input: (u16, &str)| {
    let (at, text) = (usize::from(input.0), input.1);
    let whole = sanitize(&[text]);
    let (first, second) = text.split_at(text.floor_char_boundary(at % (text.len() + 1)));
    assert_eq!(sanitize(&[first, second]), whole);
    assert!(!whole.contains('<'));
});
