//! Backups by the clock, and between times by hand.

use super::{Application, get};
use crate::common::eventually;

pub fn lives() {
    let backup = Application::new("backup", include_str!("backup.yaml"));
    backup.apply();
    backup.rolled_out("deployment/archive");
    run(&backup, "first");
    assert_archived(&backup, "full-first-", "day 1: left the harbour");
    updated_and_rolled_back(&backup);
    drained(&backup);
    // The clock's own: at most a minute after the other steps began.
    let by_the_clock = || {
        let jobs = "{range .items[*]}{.metadata.name}={.status.succeeded} {end}";
        let done = |job: &String| job.starts_with("backup-") && job.ends_with("=1");
        backup.words("jobs", jobs).iter().any(done)
    };
    let _ = eventually(by_the_clock);
    backup.until("a job by the clock", by_the_clock);
    let last = || backup.value("cronjob/backup", "{.status.lastSuccessfulTime}");
    backup.until("told", || !last().is_empty());
    backup
        .kubectl(&["get", "cronjob", "backup"])
        .must_say("Europe/Lisbon");
    backup.delete();
    backup.assert_nothing_is_left(&[]);
}

fn create(backup: &Application, name: &str) {
    backup
        .kubectl(&["create", "job", name, "--from=cronjob/backup"])
        .must_say("created");
}

fn complete(backup: &Application, name: &str) {
    let job = format!("job/{name}");
    let ran = backup.kubectl(&["wait", "--for=condition=complete", &job, "--timeout=90s"]);
    assert!(ran.ok, "{ran:?}\n{}", backup.picture());
}

fn run(backup: &Application, name: &str) {
    create(backup, name);
    complete(backup, name);
    backup
        .kubectl(&["logs", &format!("job/{name}")])
        .must_say(".tar");
}

/// The archive whose name starts so has the text.
#[track_caller]
fn assert_archived(backup: &Application, start: &str, text: &str) {
    let pods = backup.pods("app=archive");
    let pod = pods.first().expect("a file server");
    let list = ["exec", pod, "--", "ls", "/archive"];
    let files = backup.kubectl(&list).must().stdout;
    let file = files.lines().find(|file| file.starts_with(start));
    let Some(file) = file else {
        panic!("no {start}: {files}");
    };
    let read = format!("tar -xOf /archive/{file} log-book");
    let said = backup.kubectl(&["exec", pod, "--", "sh", "-c", &read]);
    assert_eq!(said.must().stdout, text);
    let address = backup.value(&format!("pod/{pod}"), "{.status.podIP}");
    let served = get(&address, &format!("/{file}"));
    assert!(served.is_some_and(|archive| archive.contains(text)));
}

/// A CronJob has no revisions: the next job is as the template is now.
fn updated_and_rolled_back(backup: &Application) {
    backup
        .kubectl(&["set", "env", "cronjob/backup", "PREFIX=delta"])
        .must();
    let log = r#"{"data":{"log-book":"day 2: at sea"}}"#;
    backup
        .kubectl(&["patch", "configmap", "documents", "-p", log])
        .must();
    run(backup, "second");
    assert_archived(backup, "delta-second-", "day 2: at sea");
    backup
        .kubectl(&["rollout", "undo", "cronjob/backup"])
        .must_fail_with("");
    backup.apply().must_say("cronjob.batch/backup configured");
    run(backup, "third");
    assert_archived(backup, "full-third-", "day 1: left the harbour");
}

fn drained(backup: &Application) {
    backup.drain(&["--timeout=60s"]).must_say("drained");
    create(backup, "fourth");
    let reason = "{.items[*].status.conditions[?(@.type==\"PodScheduled\")].reason}";
    let waits = || {
        backup.kubectl(&[
            "get",
            "pods",
            "-l",
            "job-name=fourth",
            "-o",
            &format!("jsonpath={reason}"),
        ])
    };
    backup.until("waits", || waits().stdout == "Unschedulable");
    backup.uncordon();
    complete(backup, "fourth");
    backup.rolled_out("deployment/archive");
    // What was archived before the drain is there.
    assert_archived(backup, "delta-second-", "day 2: at sea");
    assert_archived(backup, "full-fourth-", "day 1: left the harbour");
}
