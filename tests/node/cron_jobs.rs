//! CronJobs with real Jobs and pods, driven by kubectl alone. Nothing waits for a minute to pass: a schedule that comes
//! once a year is made to have missed its last time.

use crate::busybox::IMAGE;
use crate::common::TestNode;
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[
    ("a_missed_run_is_made_up_for", a_missed_run_is_made_up_for),
    ("a_job_by_hand", a_job_by_hand),
    ("one_at_a_time_or_the_newest", one_at_a_time_or_the_newest),
    (
        "what_is_no_schedule_is_refused",
        what_is_no_schedule_is_refused,
    ),
];

/// Comes on the first of January; `spec` are more lines.
fn cron_job(name: &str, spec: &str, script: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: {name}}}\nspec:\n  schedule: '0 0 1 1 *'\n{spec}  \
         jobTemplate:\n    spec:\n      template:\n        metadata: {{labels: {{cron: {name}}}}}\n        spec:\n          \
         restartPolicy: Never\n          terminationGracePeriodSeconds: 1\n          containers:\n          - name: main\n            \
         image: {IMAGE}\n            command: [sh, -c, '{script}']\n"
    )
}

struct Room {
    node: std::sync::Arc<TestNode>,
    namespace: &'static str,
}

impl Room {
    fn new(namespace: &'static str) -> Room {
        Room {
            node: crate::namespace(namespace),
            namespace,
        }
    }

    fn kubectl(&self, arguments: &[&str]) -> crate::common::Ran {
        self.node
            .kubectl(&[&["-n", self.namespace], arguments].concat())
    }

    fn apply(&self, manifest: &str) {
        self.node
            .kubectl_input(&["-n", self.namespace, "apply", "-f", "-"], manifest)
            .must();
    }

    /// The last run was that long ago.
    fn miss(&self, name: &str) {
        let patch = r#"{"status":{"lastScheduleTime":"2020-06-01T00:00:00Z"}}"#;
        self.kubectl(&[
            "patch",
            "cronjob",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            patch,
        ])
        .must();
    }

    fn value(&self, object: &str, path: &str) -> String {
        self.node.value(self.namespace, object, path)
    }

    fn wait_for(&self, object: &str, path: &str, expected: &str) {
        self.node.wait_for(self.namespace, object, path, expected);
    }
}

const NAMES: &str = "{.items[*].metadata.name}";
const PHASES: &str = "{.items[*].status.phase}";

/// 1 January of this year, as the node reckons, in minutes.
fn new_year() -> (i16, i64) {
    let year = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .year();
    let start: jiff::Timestamp = format!("{year}-01-01T00:00:00Z").parse().expect("a time");
    (year, start.as_second() / 60)
}

fn a_missed_run_is_made_up_for() {
    let room = Room::new("cron");
    room.apply(&cron_job("yearly", "", "echo happy"));
    assert_eq!(room.value("jobs", NAMES), "");
    room.miss("yearly");
    let (year, minute) = new_year();
    let name = format!("yearly-{minute}");
    let job = format!("job/{name}");
    room.wait_for(&job, "{.status.succeeded}", "1");
    room.wait_for(
        "cronjob/yearly",
        "{.status.lastScheduleTime}",
        &format!("{year}-01-01T00:00:00Z"),
    );
    room.wait_for("cronjob/yearly", "{.status.active}", "");
    let done = room.value(&job, "{.status.completionTime}");
    room.wait_for("cronjob/yearly", "{.status.lastSuccessfulTime}", &done);
    let scheduled = r"{.metadata.annotations.batch\.kubernetes\.io/cronjob-scheduled-timestamp}";
    assert_eq!(
        room.value(&job, scheduled),
        format!("{year}-01-01T00:00:00Z")
    );
    room.kubectl(&["logs", &job]).must_say("happy");
    // Missed again, it is known to have run: the Job itself tells.
    room.miss("yearly");
    room.wait_for(
        "cronjob/yearly",
        "{.status.lastScheduleTime}",
        &format!("{year}-01-01T00:00:00Z"),
    );
    assert_eq!(room.value("jobs", NAMES), name);
    room.kubectl(&["describe", "cronjob", "yearly"])
        .must_say("SuccessfulCreate")
        .must_say("SawCompletedJob");
    // No history, no Job.
    let patch = r#"{"spec":{"successfulJobsHistoryLimit":0}}"#;
    room.kubectl(&["patch", "cronjob", "yearly", "-p", patch])
        .must();
    room.wait_for("jobs", NAMES, "");
    room.wait_for("pods", NAMES, "");
}

fn a_job_by_hand() {
    let room = Room::new("by-hand");
    room.apply(&cron_job("backup", "  suspend: true\n", "echo saved"));
    room.miss("backup");
    room.kubectl(&["create", "job", "--from=cronjob/backup", "now"])
        .must();
    room.kubectl(&[
        "wait",
        "--for=condition=complete",
        "job/now",
        "--timeout=60s",
    ])
    .must();
    room.kubectl(&["logs", "job/now"]).must_say("saved");
    assert_eq!(room.value("jobs", NAMES), "now");
    assert_eq!(room.value("cronjob/backup", "{.status.active}"), "");
    room.kubectl(&["delete", "cronjob", "backup"]).must();
    room.wait_for("jobs", NAMES, "");
    room.wait_for("pods", NAMES, "");
}

fn one_at_a_time_or_the_newest() {
    let room = Room::new("one-at-a-time");
    let patch = |patch: &str| {
        room.kubectl(&["patch", "cronjob", "long", "-p", patch])
            .must();
    };
    room.apply(&cron_job(
        "long",
        "  concurrencyPolicy: Forbid\n",
        "exec sleep 3600",
    ));
    room.miss("long");
    let (_, minute) = new_year();
    let first = format!("long-{minute}");
    room.wait_for("pods", PHASES, "Running");
    room.wait_for("cronjob/long", "{.status.active[*].name}", &first);
    // An hour later another is due; the first still runs.
    patch(r#"{"spec":{"schedule":"0 1 1 1 *"}}"#);
    let told = || room.kubectl(&["get", "jobs"]).must().stdout;
    assert!(!told().contains(&format!("long-{}", minute + 60)));
    patch(r#"{"spec":{"concurrencyPolicy":"Replace"}}"#);
    let second = format!("long-{}", minute + 60);
    room.wait_for("jobs", NAMES, &second);
    room.wait_for("cronjob/long", "{.status.active[*].name}", &second);
    room.wait_for("pods", PHASES, "Running");
    room.kubectl(&["delete", "cronjob", "long"]).must();
    room.wait_for("pods", NAMES, "");
}

fn what_is_no_schedule_is_refused() {
    let node = namespace("no-schedule");
    for (from, to, said) in [
        ("0 0 1 1 *", "0 0 1 1", "spec.schedule"),
        ("0 0 1 1 *", "TZ=UTC 0 0 1 1 *", "spec.schedule"),
        (
            "  jobTemplate",
            "  timeZone: Mars/Base\n  jobTemplate",
            "spec.timeZone",
        ),
    ] {
        let manifest = cron_job("wrong", "", "true").replacen(from, to, 1);
        node.kubectl_input(&["-n", "no-schedule", "create", "-f", "-"], &manifest)
            .must_fail_with(said);
    }
}
