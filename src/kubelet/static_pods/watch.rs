//! Changes of a directory, by inotify(7).

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::AsFd;
use std::path::Path;
use tokio::net::unix::pipe::Receiver;

/// What may have changed a file: written to its end, moved in or out, removed, linked; and the directory's own end.
const EVENTS: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF);

/// Room for some events at a time; one has at most 16 bytes and a name of 255.
const EVENTS_BYTES: usize = 4096;
/// Length of an event without its name: descriptor, mask, cookie and the name's length, four bytes each.
const EVENT_BYTES: usize = 16;

/// Watches one directory, as long as it is there.
#[derive(Default)]
pub struct Watch {
    notifier: Option<Receiver>,
}

impl Watch {
    /// Begins to watch; false where that cannot be now.
    pub fn attach(&mut self, dir: &Path) -> bool {
        if self.notifier.is_some() {
            return true;
        }
        match begin(dir) {
            Ok(notifier) => self.notifier = Some(notifier),
            Err(error) => {
                tracing::debug!(dir = %dir.display(), %error, "not watched; trying again");
            }
        }
        self.notifier.is_some()
    }

    /// Waits for changes. Which they are does not matter: the whole directory is looked at.
    pub async fn changed(&mut self) {
        let Some(notifier) = &self.notifier else {
            return;
        };
        let mut lost = notifier.readable().await.is_err();
        let mut block = [0u8; EVENTS_BYTES];
        while !lost {
            match notifier.try_read(&mut block) {
                Ok(count) => lost = count == 0 || directory_gone(&block[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::warn!(%error, "watch of static pods broken; making another");
                    lost = true;
                }
            }
        }
        if lost {
            self.notifier = None;
        }
    }
}

fn begin(dir: &Path) -> std::io::Result<Receiver> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(dir, EVENTS | AddWatchFlags::IN_ONLYDIR)?;
    // It is read like a pipe, and as seldom.
    Receiver::from_owned_fd_unchecked(inotify.as_fd().try_clone_to_owned()?)
}

/// Whether the events say that the directory itself went.
fn directory_gone(mut events: &[u8]) -> bool {
    let own = AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_IGNORED
        | AddWatchFlags::IN_UNMOUNT;
    let number = |event: &[u8], at: usize| {
        event
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_ne_bytes)
    };
    while events.len() >= EVENT_BYTES {
        if number(events, 4) & own.bits() != 0 {
            return true;
        }
        let name_bytes = number(events, 12) as usize;
        events = events.get(EVENT_BYTES + name_bytes..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn tells_of_changes_and_of_the_directorys_end() {
        let dir = tempfile::tempdir().unwrap();
        let watched = dir.path().join("pods");
        let mut watch = Watch::default();
        assert!(!watch.attach(&watched));
        std::fs::create_dir(&watched).unwrap();
        assert!(watch.attach(&watched));
        std::fs::write(watched.join("a.yaml"), "x").unwrap();
        watch.changed().await;
        assert!(watch.notifier.is_some());
        std::fs::rename(watched.join("a.yaml"), watched.join("b.yaml")).unwrap();
        watch.changed().await;
        std::fs::remove_dir_all(&watched).unwrap();
        while watch.notifier.is_some() {
            watch.changed().await;
        }
        assert!(!watch.attach(&watched));
    }
}
