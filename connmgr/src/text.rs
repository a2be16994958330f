//! Texts and addresses of others: cut to a cap, and what they hold on the heap.

use smol_str::SmolStr;
use tidewire_core::Multiaddr;

/// The longest beginning of at most `max` bytes that ends where a character does.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    // A character has at most four bytes, so one of the four lengths from `max` down is a boundary.
    let end = (max.saturating_sub(3)..=max).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// What a text holds on the heap: nothing if it is short enough to stand inline. Clones share it.
pub(crate) fn heap_bytes(text: &SmolStr) -> usize {
    if text.is_heap_allocated() { shared_bytes(text.len()) } else { 0 }
}

/// What an address holds on the heap. Clones share it.
pub(crate) fn address_bytes(address: &Multiaddr) -> usize {
    shared_bytes(address.as_bytes().len())
}

/// What an `Arc` of so many bytes takes: they, and two counts before them.
pub(crate) const fn shared_bytes(len: usize) -> usize {
    (2 * size_of::<usize>() + len).next_multiple_of(align_of::<usize>())
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

    #[test]
    fn what_a_text_holds_is_what_the_allocator_gave() {
        for len in [0, 1, 23, 24, 25, 31, 32, 33, 1000] {
            let long = "x".repeat(len);
            let mut text = SmolStr::default();
            let counted = allocation_counter::measure(|| text = SmolStr::new(&long));
            assert_eq!(u64::try_from(heap_bytes(&text)).unwrap(), counted.bytes_total, "{len} bytes");
        }
    }
}
