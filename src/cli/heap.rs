//! The node process' heap: glibc is made for servers with memory to spare.
#![allow(unsafe_code)] // mallopt and malloc_trim are not wrapped by any crate in use.

/// Few arenas, and free memory goes back to the kernel. Before the first thread starts.
#[cfg(target_env = "gnu")]
pub fn keep_small() {
    /// glibc's own bound is eight per core; a node's threads seldom allocate at the same moment.
    const ARENAS_MAX: libc::c_int = 2;
    /// Bytes at a heap's end that may stay free, and from which on a block gets its own mapping. Both are fixed by
    /// this: glibc would raise them with the largest block ever freed, an image's layer for example.
    const KEPT_BYTES: libc::c_int = 128 * 1024;
    // SAFETY: takes numbers only.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS_MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BYTES);
    }
}

/// Gives back what the start needed and the running node does not.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    // SAFETY: takes a number only; glibc locks its arenas itself.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other C libraries keep no such reserves.
#[cfg(not(target_env = "gnu"))]
pub fn keep_small() {}

#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}
