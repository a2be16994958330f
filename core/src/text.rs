//! Texts of others: cut to a cap before they are kept.

/// The longest beginning of at most `max` bytes that ends where a character does.
///
/// For texts whose length others choose, a remote's or the operating system's, before they go into an error or a record.
pub fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    // A character has at most four bytes, so one of the four lengths from `max` down is a boundary.
    let end = (max.saturating_sub(3)..=max).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_a_character_ends() {
        let table = [
            ("", 0, ""),
            ("abc", 0, ""),
            ("abc", 2, "ab"),
            ("abc", 3, "abc"),
            ("abc", usize::MAX, "abc"),
            ("a\u{e9}", 2, "a"),
            ("\u{20ac}\u{20ac}", 5, "\u{20ac}"),
            ("\u{1f980}", 3, ""),
            ("\u{1f980}\u{1f980}", 7, "\u{1f980}"),
        ];
        for (text, max, expected) in table {
            assert_eq!(cut(text, max), expected, "{text} at {max}");
        }
    }
}
