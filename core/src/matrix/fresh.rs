//! Memory of results.
#![cfg_attr(all(feature = "native-gemm", target_os = "linux"), allow(unsafe_code))]

use super::gemm::Kernel;

/// Zeros. From 4 MiB on, on Linux, in pages of 2 MiB where the system has them: a page is asked for
/// and cleared when it is first written, and for a result of 64 MiB in pages of 4 KiB that took
/// longer than its multiply-adds (the same threshold as numpy's). A hint, not I/O: it changes no
/// value, and where it is refused nothing happens.
pub(super) fn zeros<T: Kernel>(len: usize) -> Vec<T> {
    let data = vec![T::ZERO; len];
    #[cfg(all(feature = "native-gemm", target_os = "linux"))]
    large_pages(&data);
    data
}

#[cfg(all(feature = "native-gemm", target_os = "linux"))]
fn large_pages<T>(data: &[T]) {
    use rustix::mm::{Advice, madvise};
    /// The system takes whole pages only.
    const PAGE: usize = 4096;
    let bytes = size_of_val(data);
    if bytes < 4 << 20 {
        return;
    }
    let skip = data.as_ptr().align_offset(PAGE);
    let Some(rest) = skip
        .checked_mul(size_of::<T>())
        .and_then(|skip| bytes.checked_sub(skip))
    else {
        return;
    };
    let start = data.as_ptr().wrapping_add(skip).cast_mut().cast();
    // SAFETY: the range lies inside `data`, and this advice leaves what is there as it is.
    let _refused = unsafe { madvise(start, rest & !(PAGE - 1), Advice::LinuxHugepage) };
}
