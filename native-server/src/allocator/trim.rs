//! Free memory back to the system.
#![allow(
    unsafe_code,
    reason = "the C library's call; it takes and gives only numbers"
)]

/// Work on this many bytes leaves so much behind that the system gets it back at once.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIM_BYTES: usize = 8 << 20;

/// Hands free memory back to the system after work on an input of this size, when it was large. The
/// C library keeps what small blocks leave behind, in each of its arenas; after large inputs were
/// read as many small values that was most of the process. Takes milliseconds for each 100 MB that
/// it finds.
pub fn trim_after(bytes: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if bytes >= TRIM_BYTES {
        // SAFETY: malloc_trim has no precondition and moves no block.
        unsafe {
            libc::malloc_trim(0);
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = bytes;
}
