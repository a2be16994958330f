//! What texts hold on the heap.

use smol_str::SmolStr;

/// What a text holds on the heap: nothing if it is short enough to stand inline. Clones share it.
pub(crate) fn heap_bytes(text: &SmolStr) -> usize {
    // An `Arc`: two counts, then the text.
    if text.is_heap_allocated() {
        (2 * size_of::<usize>() + text.len()).next_multiple_of(align_of::<usize>())
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
