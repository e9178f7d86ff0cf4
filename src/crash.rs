//! Places at which a test may let the process die as if it had been killed there.
//!
//! What comes in: `CORACLE_CRASH_AT`, a point's name. What goes out: nothing, or SIGKILL to the process itself.
//! In optimised builds the points are empty, so that no environment variable can fell a node in the field.

/// The point named by the environment, read once.
#[cfg(debug_assertions)]
static WANTED: std::sync::LazyLock<Option<String>> =
    std::sync::LazyLock::new(|| std::env::var("CORACLE_CRASH_AT").ok());

/// Whether a test wants a crash somewhere.
#[cfg(debug_assertions)]
pub fn armed() -> bool {
    WANTED.is_some()
}

/// Never, in optimised builds.
#[cfg(not(debug_assertions))]
pub fn armed() -> bool {
    false
}

/// Ends the process here if the test switch names this point: no destructor, no flush, no farewell.
#[cfg(debug_assertions)]
pub fn point(name: impl FnOnce() -> String) {
    if let Some(wanted) = WANTED.as_deref()
        && name() == wanted
    {
        let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Does nothing in optimised builds.
#[cfg(not(debug_assertions))]
pub fn point(_name: impl FnOnce() -> String) {}
