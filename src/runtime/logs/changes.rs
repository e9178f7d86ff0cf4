//! Waiting until something is written beside a path, by inotify(7).
#![allow(unsafe_code)] // The event loop wants a promise about the descriptor.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Between looks where the kernel gives no more watches (`fs.inotify.max_user_instances`).
const PAUSE: Duration = Duration::from_millis(250);

struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Changes of a directory's files: written, made, renamed.
pub struct Changes(Option<AsyncFd<Watch>>);

impl Changes {
    /// Of what lies beside `path`: rotation makes new files there.
    pub fn of(path: &Path) -> Changes {
        let made = || {
            let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
            let flags =
                AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
            inotify.add_watch(path.parent()?, flags).ok()?;
            // SAFETY: the watch keeps its descriptor open and the same for as long as it lives.
            unsafe { AsyncFd::register_with_interest(Watch(inotify), Interest::READABLE) }.ok()
        };
        Changes(made())
    }

    /// Returns when something changed since the last return, or after a pause where that cannot be told.
    pub async fn next(&mut self) {
        let Some(watch) = &self.0 else {
            return tokio::time::sleep(PAUSE).await;
        };
        loop {
            let Ok(mut guard) = watch.readable().await else {
                return tokio::time::sleep(PAUSE).await;
            };
            let mut any = false;
            // Many writes are one reason to look.
            while let Ok(events) = guard.get_inner().0.read_events() {
                any |= !events.is_empty();
            }
            guard.clear_ready();
            if any {
                return;
            }
        }
    }
}
