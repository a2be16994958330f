//! Each table beside the plain collection that says the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)]

use super::*;
use alloc::collections::{BTreeMap, BTreeSet};
use proptest::prelude::*;
use tidewire_core::{Seed, Time};

#[test]
fn the_last_freed_slot_is_used_first() {
    let mut slab = Slab::new();
    for value in 0..4 {
        assert_eq!(slab.insert(value), value);
    }
    slab.remove(1);
    slab.remove(3);
    assert_eq!(slab.insert(10), 3);
    assert_eq!(slab.insert(11), 1);
    assert_eq!(slab.insert(12), 4);
}

#[test]
fn a_slot_that_holds_nothing_gives_nothing() {
    let mut slab = Slab::new();
    slab.insert("one");
    slab.insert("two");
    assert_eq!(slab.remove(0), Some("one"));
    for slot in [0, 2, NO_SLOT] {
        assert_eq!(slab.get(slot), None);
        assert_eq!(slab.get_mut(slot), None);
        assert_eq!(slab.remove(slot), None);
    }
    assert_eq!(slab.len(), 1);
    assert_eq!(slab.insert("three"), 0, "removing nothing frees nothing");
    assert_eq!(slab.insert("four"), 2);
}

#[test]
fn columns_of_many_waste_at_most_a_quarter() {
    let mut slab = Slab::new();
    let mut heap = Heap::new();
    for number in 0..50_000u32 {
        let slot = slab.insert(u64::from(number));
        heap.set(slot, Time::from_nanos(u64::from(number)));
        if number > 2048 {
            let taken = (number as usize + 1) * (Slab::<u64>::SLOT_BYTES + size_of::<Time>() + 4 + 4);
            let used = slab.memory_used() + heap.memory_used();
            assert!(used <= taken * 5 / 4 + 64, "{used} bytes for {taken} at {number}");
        }
    }
}

#[test]
fn a_heap_that_most_left_gives_their_room_back() {
    let mut heap = Heap::new();
    for slot in 0..10_000 {
        heap.set(slot, Time::from_nanos(u64::from(slot)));
    }
    let full = heap.memory_used();
    for slot in 100..10_000 {
        heap.remove(slot);
    }
    // The places stay: slots are used again.
    assert!(heap.memory_used() <= full - 10_000 * 12 + 2048 * 12, "{} of {full} bytes", heap.memory_used());
    assert_eq!((heap.len(), heap.pop()), (100, Some((Time::ZERO, 0))));
}

#[test]
fn equal_keys_leave_in_the_order_of_their_slots() {
    let mut heap = Heap::new();
    for slot in [5, 0, 9, 3, 7, 1] {
        heap.set(slot, Time::from_nanos(4));
    }
    let order: Vec<u32> = core::iter::from_fn(|| heap.pop()).map(|(_, slot)| slot).collect();
    assert_eq!(order, [0, 1, 3, 5, 7, 9]);
}

#[test]
fn no_slot_never_enters_a_heap() {
    let mut heap = Heap::new();
    heap.set(NO_SLOT, 1);
    assert_eq!((heap.len(), heap.key(NO_SLOT), heap.peek()), (0, None, None));
}

#[test]
fn indexes_of_other_labels_and_seeds_hash_otherwise() {
    let (one, other) = (Seed::new([1; 32]), Seed::new([2; 32]));
    let hashes = [Index::new(&one, "a"), Index::new(&one, "b"), Index::new(&other, "a")].map(|index| index.hash(&7u64));
    assert_eq!(hashes[0], Index::new(&one, "a").hash(&7u64));
    assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2]);
}

#[test]
fn keys_of_one_hash_are_told_apart() {
    let mut index = Index::new(&Seed::new([3; 32]), "numbers");
    // Of 200,000 keys some share their 32 bits of hash.
    let mut known = BTreeMap::new();
    let (one, other) = (0..200_000u64)
        .find_map(|key| known.insert(index.hash(&key), key).map(|before| (before, key)))
        .expect("two keys of one hash");
    let key_of = |slot| [one, other].get(slot as usize).copied();
    index.add(other, 1);
    assert_eq!(index.find(one, key_of), None);
    index.add(one, 0);
    assert_eq!((index.find(one, key_of), index.find(other, key_of)), (Some(0), Some(1)));
    assert!(index.remove(one, 0));
    assert_eq!((index.find(one, key_of), index.find(other, key_of)), (None, Some(1)));
}

#[test]
fn the_memory_counted_is_the_memory_allocated() {
    let mut counted = 0;
    let allocated = allocation_counter::measure(|| {
        let (mut slab, mut heap, mut index) = (Slab::new(), Heap::new(), Index::new(&Seed::new([3; 32]), "numbers"));
        for number in 0..3000u64 {
            let slot = slab.insert(number);
            heap.set(slot, Time::from_nanos(number));
            index.add(number, slot);
        }
        counted = slab.memory_used() + heap.memory_used() + index.memory_used();
        core::mem::forget((slab, heap, index));
    });
    assert_eq!(i64::try_from(counted).unwrap(), allocated.bytes_current);
}

#[test]
fn an_index_is_emptied_without_the_entries() {
    let mut index = Index::new(&Seed::new([3; 32]), "numbers");
    let mut slab = Slab::new();
    for number in 0..1000u64 {
        let slot = slab.insert(number);
        index.add(number, slot);
    }
    for number in 0..1000u64 {
        let slot = index.find(number, |slot| slab.get(slot).copied()).unwrap();
        assert_eq!(slab.remove(slot), Some(number));
        assert!(index.remove(number, slot));
        assert!(!index.remove(number, slot));
        assert_eq!(index.find(number, |slot| slab.get(slot).copied()), None);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put(u32, u64),
    Take(u32),
    Least,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        // Few keys, so that many are equal.
        4 => (0u32..40, 0u64..12).prop_map(|(slot, key)| Op::Put(slot, key)),
        2 => (0u32..45).prop_map(Op::Take),
        1 => Just(Op::Least),
    ]
}

struct Link(u64, Links);

impl Linked for Link {
    fn links(&self) -> &Links {
        &self.1
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.1
    }
}

proptest! {
    #[test]
    fn rings_are_lists_in_order_of_arrival(ops in prop::collection::vec(op(), 1..200)) {
        let mut slab = Slab::new();
        let mut rings = [Ring::EMPTY, Ring::EMPTY];
        let mut lists: [Vec<(u32, u64)>; 2] = Default::default();
        for op in ops {
            match op {
                Op::Put(which, value) => {
                    let which = which as usize % 2;
                    let slot = slab.insert(Link(value, Links::NONE));
                    rings[which].push(&mut slab, slot);
                    lists[which].push((slot, value));
                }
                Op::Take(slot) => {
                    if let Some(gone) = slab.remove(slot) {
                        let which = usize::from(lists[1].iter().any(|(held, _)| *held == slot));
                        rings[which].unlink(&mut slab, slot, &gone);
                        lists[which].retain(|(held, _)| *held != slot);
                    }
                }
                Op::Least => rings[0].push(&mut slab, NO_SLOT),
            }
            for (ring, list) in rings.iter().zip(&lists) {
                prop_assert!(ring.iter(&slab).map(|(slot, link)| (slot, link.0)).eq(list.iter().copied()));
                prop_assert!(ring.iter_back(&slab).map(|(slot, link)| (slot, link.0)).eq(list.iter().rev().copied()));
            }
        }
    }

    #[test]
    fn a_heap_is_a_sorted_set_of_keys_and_slots(ops in prop::collection::vec(op(), 1..300)) {
        let mut heap = Heap::new();
        let mut keys = BTreeMap::new();
        let mut sorted = BTreeSet::new();
        for op in ops {
            match op {
                Op::Put(slot, key) => {
                    heap.set(slot, key);
                    if let Some(before) = keys.insert(slot, key) {
                        sorted.remove(&(before, slot));
                    }
                    sorted.insert((key, slot));
                }
                Op::Take(slot) => {
                    let taken = keys.remove(&slot);
                    prop_assert_eq!(heap.remove(slot), taken);
                    if let Some(key) = taken {
                        sorted.remove(&(key, slot));
                    }
                }
                Op::Least => {
                    let least = sorted.pop_first();
                    prop_assert_eq!(heap.pop(), least);
                    if let Some((_, slot)) = least {
                        keys.remove(&slot);
                    }
                }
            }
            prop_assert_eq!(heap.peek(), sorted.first().copied());
            prop_assert_eq!(heap.len(), sorted.len());
            prop_assert_eq!(heap.iter().collect::<BTreeSet<_>>(), sorted.clone());
            for slot in 0..45 {
                prop_assert_eq!(heap.key(slot), keys.get(&slot).copied());
            }
        }
        prop_assert_eq!(core::iter::from_fn(|| heap.pop()).collect::<Vec<_>>(), sorted.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_slab_is_a_map_from_slots(ops in prop::collection::vec(op(), 1..300)) {
        let mut slab = Slab::new();
        let mut map = BTreeMap::new();
        for op in ops {
            match op {
                Op::Put(_, value) => {
                    let slot = slab.insert(value);
                    prop_assert_eq!(map.insert(slot, value), None);
                }
                Op::Take(slot) => prop_assert_eq!(slab.remove(slot), map.remove(&slot)),
                Op::Least => {
                    if let Some((slot, value)) = map.iter_mut().next() {
                        *value += 100;
                        *slab.get_mut(*slot).unwrap() += 100;
                    }
                }
            }
            prop_assert_eq!(slab.len() as usize, map.len());
            prop_assert!(slab.iter().eq(map.iter().map(|(slot, value)| (*slot, value))));
            prop_assert!((0..50).all(|slot| slab.get(slot) == map.get(&slot)));
        }
    }

    #[test]
    fn an_index_is_a_map_from_keys(ops in prop::collection::vec(op(), 1..300)) {
        let mut index = Index::new(&Seed::new([5; 32]), "map");
        let mut keys: BTreeMap<u32, u64> = BTreeMap::new();
        for op in ops {
            match op {
                // Each slot holds its number and some of the random key, so that slots come back with other keys.
                Op::Put(slot, key) => {
                    let key = u64::from(slot) * 100 + key;
                    if let Some(before) = keys.insert(slot, key) {
                        prop_assert!(index.remove(before, slot));
                    }
                    index.add(key, slot);
                }
                Op::Take(slot) => {
                    if let Some(before) = keys.remove(&slot) {
                        prop_assert!(index.remove(before, slot));
                    }
                }
                Op::Least => {}
            }
            for slot in 0..45u32 {
                let held = keys.get(&slot).copied().unwrap_or(u64::from(slot) * 100);
                for key in [held, held + 1] {
                    let expected = (keys.get(&slot) == Some(&key)).then_some(slot);
                    prop_assert_eq!(index.find(key, |slot| keys.get(&slot).copied()), expected);
                }
            }
        }
    }
}
