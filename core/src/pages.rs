//! Large pages for large results.
#![cfg_attr(all(feature = "large-pages", target_os = "linux"), allow(unsafe_code))]

/// Asks for pages of 2 MiB under `memory` from 4 MiB on, on Linux, where the system has them: a page
/// is fetched and cleared when it is first written, and for a result of 64 MiB in pages of 4 KiB
/// that took longer than computing it (the same threshold as numpy's). A hint, not I/O: it changes
/// no value, and where it is refused nothing happens.
#[cfg(all(feature = "large-pages", target_os = "linux"))]
pub(crate) fn advise<T>(memory: &[T]) {
    use rustix::mm::{Advice, madvise};
    /// The system takes whole pages only.
    const PAGE: usize = 4096;
    let bytes = size_of_val(memory);
    if bytes < 4 << 20 {
        return;
    }
    let skip = memory.as_ptr().align_offset(PAGE);
    let Some(rest) = skip
        .checked_mul(size_of::<T>())
        .and_then(|skip| bytes.checked_sub(skip))
    else {
        return;
    };
    let start = memory.as_ptr().wrapping_add(skip).cast_mut().cast();
    // SAFETY: the range lies inside `memory`, and this advice leaves what is there as it is.
    let _refused = unsafe { madvise(start, rest & !(PAGE - 1), Advice::LinuxHugepage) };
}

/// See the other one: here there is nothing to ask for.
#[cfg(not(all(feature = "large-pages", target_os = "linux")))]
pub(crate) fn advise<T>(_memory: &[T]) {}
