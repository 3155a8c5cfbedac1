//! Memory that will be written soon is fetched while the processor does something else: what a ladder is written to has gone cold since
//! the message before. A hint and nothing more: without it everything is the same, later.

/// Bytes that the processor fetches at a time.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Has all of it fetched, to be written to. Elsewhere than on x86-64 nothing is done.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "a hint to the processor has no safe form; it reads nothing and cannot fail")]
pub(super) fn fetch<T: ?Sized>(of: &T) {
    use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
    let start = std::ptr::from_ref(of).cast::<i8>();
    for at in (0..size_of_val(of)).step_by(LINE) {
        // SAFETY: a hint, of any address.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(start.wrapping_add(at)) }
    }
}

/// See above.
#[cfg(not(target_arch = "x86_64"))]
pub(super) const fn fetch<T: ?Sized>(_: &T) {}
