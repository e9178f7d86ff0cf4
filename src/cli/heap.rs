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

/// Gives back what is free in the middle of the heap, too.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    // SAFETY: takes a number only; glibc locks its arenas itself.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives back what bursts of work leave behind (a thousand pods that came and went, a long list), once the node has
/// worked: a node that idles is not looked through again and again. Never ends.
#[cfg(target_env = "gnu")]
pub async fn keep_giving_back() {
    use std::time::Duration;
    /// Between two looks at what the node has worked.
    const PERIOD: Duration = Duration::from_secs(30);
    /// Processor time that is worth looking through the heap, which takes some milliseconds.
    const WORK_SECONDS_MIN: i64 = 1;
    let mut given_at = worked_seconds();
    loop {
        tokio::time::sleep(PERIOD).await;
        if worked_seconds() - given_at >= WORK_SECONDS_MIN {
            give_back();
            given_at = worked_seconds();
        }
    }
}

/// Processor time of this process.
#[cfg(target_env = "gnu")]
fn worked_seconds() -> i64 {
    use nix::sys::resource::{UsageWho, getrusage};
    // Asking for oneself cannot fail; without an answer nothing is given back.
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        usage.user_time().tv_sec() + usage.system_time().tv_sec()
    })
}

/// Other C libraries keep no such reserves.
#[cfg(not(target_env = "gnu"))]
pub fn keep_small() {}

#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}

#[cfg(not(target_env = "gnu"))]
pub async fn keep_giving_back() {
    std::future::pending().await
}
