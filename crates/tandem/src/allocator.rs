//! mimalloc for what is small, asked for aligned memory only where that says more than it promises anyway; the system's allocator for
//! what is large.
//!
//! The crate's own front asks for an alignment each time. mimalloc then takes a slower way for whatever is larger than a kilobyte
//! or meets a full page, gives out more than was asked for, and frees what shares a page with it more slowly.
//!
//! It also asks for huge pages. They make calls cheaper, since all of a call is small and the memory that one leaves is taken by the
//! next. But a thread that touches a new one waits until the kernel has cleared two megabytes, or has moved others out of the way to
//! find them: tens of milliseconds while a million rates were imported. What is large comes and goes with such work.

#![allow(unsafe_code, reason = "an allocator is unsafe by its trait")]

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};
use std::alloc::{GlobalAlloc, Layout, System};

/// What mimalloc gives at least to blocks of this size and more (`MI_MAX_ALIGN_SIZE`); smaller ones have half of it.
const ALIGNED: usize = 16;

/// Blocks of this size and more are the system's.
const LARGE: usize = 32 << 10;

/// See the module.
pub(crate) struct Allocator;

/// Whether plain memory of this layout is aligned as it asks.
const fn is_plain(layout: Layout) -> bool {
    layout.align() <= ALIGNED && layout.align() <= layout.size()
}

const fn is_large(size: usize) -> bool {
    size >= LARGE
}

// SAFETY: each block has at least the size and alignment of its layout, and goes back to where one of its size comes from.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout.size()) {
            // SAFETY: as the trait asks.
            return unsafe { System.alloc(layout) };
        }
        // SAFETY: mimalloc takes any size, and an alignment that is a power of two, as a layout's is.
        let block = unsafe {
            if is_plain(layout) { mi_malloc(layout.size()) } else { mi_malloc_aligned(layout.size(), layout.align()) }
        };
        block.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(layout.size()) {
            // SAFETY: as the trait asks.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: as above.
        let block = unsafe {
            if is_plain(layout) { mi_zalloc(layout.size()) } else { mi_zalloc_aligned(layout.size(), layout.align()) }
        };
        block.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_large(layout.size()) {
            // SAFETY: a block of this size is the system's.
            return unsafe { System.dealloc(block, layout) };
        }
        // SAFETY: the block is of this allocator, as the trait asks.
        unsafe { mi_free(block.cast()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_large(layout.size()) && is_large(size) {
            // SAFETY: a block of both sizes is the system's.
            return unsafe { System.realloc(block, layout, size) };
        }
        if is_large(layout.size()) != is_large(size) {
            // SAFETY: the caller promises that the size is valid with this alignment; what both have room for is moved.
            return unsafe {
                let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !moved.is_null() {
                    moved.copy_from_nonoverlapping(block, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                moved
            };
        }
        // SAFETY: the block is of this allocator; what is small after it was large asks for its alignment again.
        let block = unsafe {
            if is_plain(layout) && layout.align() <= size {
                mi_realloc(block.cast(), size)
            } else {
                mi_realloc_aligned(block.cast(), size, layout.align())
            }
        };
        block.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_aligned_and_keeps_its_content() {
        let mut blocks = Vec::new();
        for size in (1..200).chain([1_000, 1_024, 1_025, 1_500, 4_096, 5_000, 32_767, 32_768, 70_000, 3_000_000]) {
            for align in [1, 2, 4, 8, 16, 32, 64, 4_096] {
                let layout = Layout::from_size_align(size, align).expect("a layout");
                // SAFETY: the block is written within its size, moved to another one and freed with the layout that it has then.
                unsafe {
                    let block = Allocator.alloc(layout);
                    assert_eq!(block.align_offset(align), 0, "{layout:?}");
                    block.write_bytes(7, size);
                    let (other, zeroed) = (size / 2 + 300, Allocator.alloc_zeroed(layout));
                    assert!(
                        zeroed.align_offset(align) == 0 && *zeroed == 0 && *zeroed.add(size - 1) == 0,
                        "{layout:?}"
                    );
                    Allocator.dealloc(zeroed, layout);
                    let moved = Allocator.realloc(block, layout, other);
                    assert!(moved.align_offset(align) == 0 && *moved.add(size.min(other) - 1) == 7, "{layout:?}");
                    blocks.push((moved, Layout::from_size_align(other, align).expect("a layout")));
                }
            }
        }
        for (block, layout) in blocks {
            // SAFETY: it was given out with this layout and not freed since.
            unsafe { Allocator.dealloc(block, layout) }
        }
    }
}
