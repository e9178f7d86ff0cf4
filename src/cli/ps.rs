//! `coracle ps`: this node's pods and containers straight from the runtime, without an API. It works while the node
//! process is down, and changes nothing.

use super::print::document;
use super::print::table::render;
use super::{Outcome, host};
use crate::node::record::HostRecord;
use crate::object::time::human;
use crate::runtime::{ContainerState, ContainerStatus, Seen, look};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct PsArgs {
    /// Exited containers too, and pods without any.
    #[arg(short, long)]
    all: bool,
    /// json; default: a table.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Leave the header line out.
    #[arg(long)]
    no_headers: bool,
    /// The node's run directory, where its data directory has no note of it.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
}

/// Characters of a command line that are shown.
const COMMAND_CHARS_MAX: usize = 40;
/// Hexadecimal digits that tell containers of a node apart.
const ID_CHARS: usize = 12;

pub async fn run(args: PsArgs, data_dir: PathBuf) -> Outcome {
    host::require_root("ps")?;
    let record = match &args.run_dir {
        Some(run_dir) => HostRecord::assumed(Some(run_dir)),
        None => HostRecord::read(&data_dir)?.ok_or_else(|| {
            anyhow::anyhow!(
                "no node ever ran with the data directory {}; name the node's with --data-dir, or its --run-dir",
                data_dir.display()
            )
        })?,
    };
    let seen = look(&record.run_dir.join("pods")).await;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let rows = rows(&seen, args.all, &command);
    if args.output == Some(Format::Json) {
        let items: Vec<Value> = rows.iter().map(|row| row.json()).collect();
        print!("{}", document::json(&json!({"items": items}))?);
    } else if rows.is_empty() {
        let hint = if seen.is_empty() {
            ""
        } else {
            "; `coracle ps -a` shows what is over"
        };
        eprintln!("No containers are running on this node{hint}");
    } else {
        print!("{}", table(&rows, now_ms, !args.no_headers));
    }
    Ok(ExitCode::SUCCESS)
}

/// One container, or a pod without any.
#[derive(Debug)]
struct Row<'a> {
    seen: &'a Seen,
    container: Option<&'a ContainerStatus>,
    command: String,
}

/// What a process runs, from the kernel.
fn command(pid: i32) -> String {
    let path = Path::new("/proc").join(pid.to_string()).join("cmdline");
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .replace('\0', " ")
        .trim()
        .to_owned()
}

fn rows<'a>(seen: &'a [Seen], all: bool, command: &dyn Fn(i32) -> String) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for seen in seen {
        let mut containers: Vec<&ContainerStatus> = seen
            .state
            .iter()
            .flat_map(|state| &state.containers)
            .filter(|container| all || matches!(container.state, ContainerState::Running { .. }))
            .collect();
        containers.sort_by(|left, right| {
            (&left.run.container, left.run.attempt).cmp(&(&right.run.container, right.run.attempt))
        });
        // A pod whose shim is gone is always worth a line.
        if containers.is_empty() && (all || seen.state.is_err()) {
            rows.push(Row {
                seen,
                container: None,
                command: String::new(),
            });
        }
        rows.extend(containers.into_iter().map(|container| Row {
            seen,
            command: match container.state {
                ContainerState::Running { pid, .. } => command(pid),
                ContainerState::Exited(_) => String::new(),
            },
            container: Some(container),
        }));
    }
    rows
}

impl Row<'_> {
    fn pod(&self) -> &str {
        self.seen
            .spec
            .as_ref()
            .map_or(&self.seen.pod_uid, |spec| &spec.name)
    }

    fn namespace(&self) -> &str {
        self.seen
            .spec
            .as_ref()
            .map_or("<unknown>", |spec| &spec.namespace)
    }

    fn state(&self) -> String {
        match self.container.map(|container| &container.state) {
            None if self.seen.state.is_err() => "Lost".to_owned(),
            None => "Empty".to_owned(),
            Some(ContainerState::Running { .. }) => "Running".to_owned(),
            Some(ContainerState::Exited(exit)) if exit.oom_killed => {
                format!("OOMKilled({})", exit.code)
            }
            Some(ContainerState::Exited(exit)) => format!("Exited({})", exit.code),
        }
    }

    /// Since it started, or since it ended.
    fn since_ms(&self) -> Option<i64> {
        match &self.container?.state {
            ContainerState::Running { started_at_ms, .. } => Some(*started_at_ms),
            ContainerState::Exited(exit) => Some(exit.finished_at_ms),
        }
    }

    fn pid(&self) -> Option<i32> {
        match self.container?.state {
            ContainerState::Running { pid, .. } => Some(pid),
            ContainerState::Exited(_) => None,
        }
    }

    fn cells(&self, now_ms: i64) -> Vec<String> {
        let none = || "-".to_owned();
        let container = self.container;
        let command: String = self.command.chars().take(COMMAND_CHARS_MAX).collect();
        vec![
            self.pod().to_owned(),
            self.namespace().to_owned(),
            container.map_or_else(none, |container| container.run.container.clone()),
            self.state(),
            container.map_or_else(none, |container| container.run.attempt.to_string()),
            self.pid().map_or_else(none, |pid| pid.to_string()),
            self.since_ms()
                .map_or_else(none, |then| human(now_ms.saturating_sub(then) / 1000)),
            container.map_or_else(none, |container| {
                container.id.chars().take(ID_CHARS).collect()
            }),
            if command.is_empty() {
                none()
            } else {
                command.replace(char::is_control, " ")
            },
        ]
    }

    fn json(&self) -> Value {
        let shim = self.seen.state.as_ref();
        let mut row = json!({
            "pod": self.pod(), "namespace": self.namespace(), "podUID": self.seen.pod_uid, "state": self.state(),
            "shimPID": shim.ok().map(|shim| shim.pid), "error": shim.err(),
        });
        if let Some(container) = self.container {
            row["container"] = json!(container.run.container);
            row["attempt"] = json!(container.run.attempt);
            row["id"] = json!(container.id);
            row["status"] = match &container.state {
                ContainerState::Running { pid, started_at_ms } => {
                    json!({"pid": pid, "startedAt": time(*started_at_ms), "command": self.command})
                }
                ContainerState::Exited(exit) => json!({
                    "exitCode": exit.code, "signal": exit.signal, "oomKilled": exit.oom_killed, "message": exit.message,
                    "startedAt": time(exit.started_at_ms), "finishedAt": time(exit.finished_at_ms),
                }),
            };
        }
        row
    }
}

fn time(ms: i64) -> Option<String> {
    jiff::Timestamp::from_millisecond(ms)
        .ok()
        .map(|time| time.to_string())
}

fn table(rows: &[Row], now_ms: i64, headers: bool) -> String {
    let heads = [
        "POD",
        "NAMESPACE",
        "CONTAINER",
        "STATE",
        "ATTEMPT",
        "PID",
        "AGE",
        "ID",
        "COMMAND",
    ];
    let lines: Vec<Vec<String>> = headers
        .then(|| heads.map(str::to_owned).to_vec())
        .into_iter()
        .chain(rows.iter().map(|row| row.cells(now_ms)))
        .collect();
    render(&lines, &mut Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Exit, RunId, SandboxSpec, ShimState};

    fn spec(name: &str) -> SandboxSpec {
        SandboxSpec {
            pod_uid: name.to_owned(),
            namespace: "default".to_owned(),
            name: name.to_owned(),
            ..SandboxSpec::default()
        }
    }

    fn container(name: &str, attempt: u32, state: ContainerState) -> ContainerStatus {
        ContainerStatus {
            run: RunId {
                container: name.to_owned(),
                attempt,
            },
            id: "0123456789abcdef".to_owned(),
            user: None,
            state,
        }
    }

    fn pods() -> Vec<Seen> {
        let exit = Exit {
            code: 137,
            signal: Some(9),
            oom_killed: true,
            started_at_ms: 0,
            finished_at_ms: 90_000,
            message: None,
        };
        let seen = |name: &str, state| Seen {
            spec: Some(spec(name)),
            pod_uid: name.to_owned(),
            state,
        };
        let state = |containers| Ok(ShimState { pid: 7, containers });
        vec![
            seen(
                "web",
                state(vec![
                    container(
                        "app",
                        1,
                        ContainerState::Running {
                            pid: 42,
                            started_at_ms: 95_000,
                        },
                    ),
                    container("app", 0, ContainerState::Exited(exit)),
                ]),
            ),
            seen("new", state(vec![])),
            Seen {
                spec: None,
                ..seen("dead", Err("its shim is gone".to_owned()))
            },
        ]
    }

    #[test]
    fn what_runs_and_what_is_lost_is_shown() {
        let pods = pods();
        let command = |pid: i32| format!("sleep\t{pid}");
        let text = table(&rows(&pods, false, &command), 100_000, true);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines,
            [
                vec![
                    "POD",
                    "NAMESPACE",
                    "CONTAINER",
                    "STATE",
                    "ATTEMPT",
                    "PID",
                    "AGE",
                    "ID",
                    "COMMAND"
                ],
                vec![
                    "web",
                    "default",
                    "app",
                    "Running",
                    "1",
                    "42",
                    "5s",
                    "0123456789ab",
                    "sleep",
                    "42"
                ],
                vec!["dead", "<unknown>", "-", "Lost", "-", "-", "-", "-", "-"],
            ]
        );
        let all = table(&rows(&pods, true, &command), 100_000, false);
        assert!(
            all.contains("OOMKilled(137)") && all.contains("Empty"),
            "{all}"
        );
        assert_eq!(all.lines().count(), 4);
        let rows = rows(&pods, true, &command);
        assert_eq!(rows[0].json()["status"]["exitCode"], 137);
        assert_eq!(rows[1].json()["status"]["pid"], 42);
    }
}
