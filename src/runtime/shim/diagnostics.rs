//! What `libcontainer` says at level ERROR, from all its processes. Its error values lose their causes on the way
//! between them and in their wrappers; its events name what was done to which file and why it failed.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{Read, Write};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Read back at most; a pipe holds this much unless told otherwise, pipe(7).
const BYTES_MAX: usize = 64 * 1024;
/// Causes added to one message.
const CAUSES_MAX: usize = 8;

/// Runs `work`; where it fails, its reason gets what was said meanwhile.
pub fn explained<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let flags = nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK;
    let (read, write) = nix::unistd::pipe2(flags).map_err(|e| format!("making a pipe: {e}"))?;
    let sink = Sink(File::from(write));
    let result = tracing::subscriber::with_default(sink, work);
    result.map_err(|reason| {
        // Not to its end: what still runs may hold the other side.
        let mut said = vec![0; BYTES_MAX];
        let count = File::from(read).read(&mut said).unwrap_or(0);
        with_causes(reason, &String::from_utf8_lossy(&said[..count]))
    })
}

/// The reason, then every line that it does not contain yet.
fn with_causes(mut reason: String, said: &str) -> String {
    for line in said.lines().take(CAUSES_MAX) {
        if !reason.contains(line) {
            let _ = write!(reason, ": {line}");
        }
    }
    reason
}

/// One line per event into a pipe that never blocks: what does not fit is lost.
struct Sink(File);

impl Subscriber for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let text = format!("{}{}", line.message, line.fields).replace('\n', " ");
        let _ = (&self.0).write_all(format!("{text}\n").as_bytes());
    }

    // Spans are never enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bare_reason_gets_the_causes_that_were_said() {
        let result: Result<(), String> = explained(|| {
            tracing::debug!("of no interest");
            tracing::error!(path = ?"/proc/x", "failed to write: {}", "permission denied");
            tracing::error!("io error");
            Err("failed to create: io error".to_owned())
        });
        assert_eq!(
            result.unwrap_err(),
            "failed to create: io error: failed to write: permission denied path=\"/proc/x\""
        );
        assert_eq!(explained(|| Ok(3)), Ok(3));
    }
}
