//! An allocator that counts, when asked to.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// The system's allocator behind counters. Off, it costs one load an allocation.
pub struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);
/// Whether to count by size too.
static BY_SIZE: AtomicBool = AtomicBool::new(false);
/// How many of each size were not given back; those of `LARGE` and more together.
static SIZES: [AtomicI64; LARGE + 1] = [const { AtomicI64::new(0) }; LARGE + 1];
const LARGE: usize = 8192;
/// How many blocks there are of the size of a pool's buffer.
static BUFFERS: AtomicI64 = AtomicI64::new(0);
/// Bytes of such a buffer: what a connection of ours borrows while it has bytes to move.
const BUFFER: usize = 256 * 1024;

/// What was allocated between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Calls of `alloc` and `realloc`.
    pub calls: u64,
    /// Bytes that they asked for.
    pub bytes: u64,
    /// Bytes that were not given back.
    pub live: i64,
    /// Bytes of these in blocks of 256 KiB, which our pool's buffers are. By [`watch`] only.
    pub buffers: i64,
}

/// Runs `what` and counts, in all threads.
pub fn count<T>(what: impl FnOnce() -> T) -> (T, Count) {
    let before = now();
    ON.store(true, Relaxed);
    let result = what();
    ON.store(false, Relaxed);
    let after = now();
    let count = Count {
        calls: after.calls - before.calls,
        bytes: after.bytes - before.bytes,
        live: after.live - before.live,
        buffers: 0,
    };
    (result, count)
}

/// Counts from here on until the process ends, by size too. Don't mix with [`count`].
pub fn watch() {
    BY_SIZE.store(true, Relaxed);
    ON.store(true, Relaxed);
}

/// What was counted so far.
pub fn now() -> Count {
    Count {
        calls: CALLS.load(Relaxed),
        bytes: BYTES.load(Relaxed),
        live: LIVE.load(Relaxed),
        buffers: BUFFERS.load(Relaxed) * BUFFER as i64,
    }
}

/// How many there are of each size; the last size stands for all that are larger.
pub fn sizes() -> Vec<i64> {
    SIZES.iter().map(|count| count.load(Relaxed)).collect()
}

/// `got` is what is there now, `gone` what was there before.
fn note(gone: Option<usize>, got: Option<usize>) {
    if !ON.load(Relaxed) {
        return;
    }
    if let Some(size) = got {
        CALLS.fetch_add(1, Relaxed);
        BYTES.fetch_add(size as u64, Relaxed);
    }
    LIVE.fetch_add(got.unwrap_or(0) as i64 - gone.unwrap_or(0) as i64, Relaxed);
    if BY_SIZE.load(Relaxed) {
        got.map(|size| SIZES[size.min(LARGE)].fetch_add(1, Relaxed));
        gone.map(|size| SIZES[size.min(LARGE)].fetch_sub(1, Relaxed));
        let buffer = |size: Option<usize>| i64::from(size == Some(BUFFER));
        BUFFERS.fetch_add(buffer(got) - buffer(gone), Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(None, Some(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(None, Some(layout.size()));
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(Some(layout.size()), None);
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(Some(layout.size()), Some(size));
        unsafe { System.realloc(at, layout, size) }
    }
}
