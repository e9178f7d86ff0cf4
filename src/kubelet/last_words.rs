//! What a container left in its termination message file.
//! <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>

use super::pod::ephemeral;
use super::pod::record::Run;
use super::pod::state::containers;
use super::worker::Worker;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Upstream's `MaxContainerTerminationMessageLength`.
const MESSAGE_BYTES_MAX: u64 = 4096;
/// Upstream's limits of a message taken from the log.
const LOG_BYTES_MAX: u64 = 2048;
const LOG_LINES_MAX: usize = 80;

impl Worker {
    /// Fills in the message of runs that have just ended.
    pub(super) fn collect_last_words(&mut self) {
        let pod = self.pod.clone();
        let all = containers(&pod)
            .map(|(_, c)| c.clone())
            .chain(ephemeral::list(&pod).map(ephemeral::as_container));
        for container in all {
            let Some(record) = self.state.containers.get_mut(&container.name) else {
                continue;
            };
            let Run::Ended(ended) = &mut record.run else {
                continue;
            };
            if ended.message.is_some() || !record.here {
                continue;
            }
            let file = self
                .ctx
                .dirs
                .last_words(&self.uid, &container.name, ended.attempt);
            let mut words = tail(&file, MESSAGE_BYTES_MAX).unwrap_or_default();
            let from_log =
                container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
            if words.is_empty() && from_log && ended.exit.code != 0 {
                let log = self.ctx.dirs.log(&self.uid, &container.name, ended.attempt);
                words = log_text(&tail(&log, LOG_BYTES_MAX).unwrap_or_default());
            }
            if !words.is_empty() {
                ended.message = Some(words);
            }
        }
    }
}

/// The last bytes of a file as text.
fn tail(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(bytes_max)))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The text of CRI log lines (`time stream tag text`); a first line cut by the tail is left out. What is tagged `P`
/// had no line's end.
fn log_text(lines: &str) -> String {
    let texts: Vec<String> = lines
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(4, ' ');
            let stamp = parts.next()?;
            let stream = parts.next()?;
            let tag = parts.next()?;
            let end = if tag.starts_with('P') { "" } else { "\n" };
            (stamp.contains('T') && matches!(stream, "stdout" | "stderr"))
                .then(|| format!("{}{end}", parts.next().unwrap_or_default()))
        })
        .collect();
    texts[texts.len().saturating_sub(LOG_LINES_MAX)..].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_log() {
        let log = "12Z stdout F cut\n2025-01-01T00:00:00.1Z stderr F bad thing\n2025-01-01T00:00:00.2Z stdout F \n";
        assert_eq!(log_text(log), "bad thing\n\n");
        assert_eq!(log_text("2025-01-01T00:00:00.1Z stdout P DONE\n"), "DONE");
        assert_eq!(log_text(""), "");
    }
}
