//! An allocator that counts, when asked to.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// The system's allocator behind counters. Off, it costs one load an allocation.
pub struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);

/// What was allocated between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Calls of `alloc` and `realloc`.
    pub calls: u64,
    /// Bytes that they asked for.
    pub bytes: u64,
    /// Bytes that were not given back.
    pub live: i64,
}

/// Runs `what` and counts, in all threads.
pub fn count<T>(what: impl FnOnce() -> T) -> (T, Count) {
    let read = || Count { calls: CALLS.load(Relaxed), bytes: BYTES.load(Relaxed), live: LIVE.load(Relaxed) };
    let before = read();
    ON.store(true, Relaxed);
    let result = what();
    ON.store(false, Relaxed);
    let after = read();
    let count =
        Count { calls: after.calls - before.calls, bytes: after.bytes - before.bytes, live: after.live - before.live };
    (result, count)
}

fn note(calls: u64, asked: usize, live: i64) {
    if ON.load(Relaxed) {
        CALLS.fetch_add(calls, Relaxed);
        BYTES.fetch_add(asked as u64, Relaxed);
        LIVE.fetch_add(live, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size(), layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size(), layout.size() as i64);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(0, 0, -(layout.size() as i64));
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size, size as i64 - layout.size() as i64);
        unsafe { System.realloc(at, layout, size) }
    }
}
