//! The system's allocator, counting: how much was held at most since the count began.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Counts what Rust code holds; what C and C++ libraries take by themselves is not seen.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static HELD: AtomicI64 = AtomicI64::new(0);
static HIGHEST: AtomicI64 = AtomicI64::new(0);

/// One allocation beyond this is refused, so that a defect ends the test and not the machine.
const ABSURD_BYTES: usize = 4 << 30;

fn took(bytes: usize) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    HIGHEST.fetch_max(held, Relaxed);
}

fn gave(bytes: usize) {
    HELD.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Relaxed);
}

#[expect(unsafe_code, reason = "an allocator is an unsafe trait")]
// SAFETY: every call goes to the system's allocator as it came; a null pointer is an allowed answer.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > ABSURD_BYTES {
            return std::ptr::null_mut();
        }
        took(layout.size());
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() > ABSURD_BYTES {
            return std::ptr::null_mut();
        }
        took(layout.size());
        // SAFETY: the caller's layout.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: the caller's pointer and layout.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > ABSURD_BYTES {
            return std::ptr::null_mut();
        }
        took(size);
        gave(layout.size());
        // SAFETY: the caller's pointer, layout and size.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Runs `work`; also says how many bytes it held at once beyond what was held before.
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = HELD.load(Relaxed);
    HIGHEST.store(before, Relaxed);
    let result = work();
    let highest = HIGHEST.load(Relaxed) - before;
    (result, u64::try_from(highest).unwrap_or(0))
}
