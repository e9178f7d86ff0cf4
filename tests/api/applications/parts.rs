//! Fifty parts of one work: each is done once in the end, whatever is taken away meanwhile.

use super::Application;

/// The squares of 0 to 49.
const SUM: u32 = 40_425;

pub fn lives() {
    let parts = Application::new("parts", include_str!("parts.yaml"));
    parts.apply();
    active(&parts, 8);
    updated_and_rolled_back(&parts);
    drained(&parts);
    the_work_is_done(&parts);
    // One goes by itself when that is wanted, the others when told to.
    patch(&parts, "sum", r#"{"spec":{"ttlSecondsAfterFinished":0}}"#);
    parts.until("the sum went", || !parts.kubectl(&["get", "job", "sum"]).ok);
    parts.delete();
    parts.assert_nothing_is_left(&[]);
}

fn patch(parts: &Application, job: &str, patch: &str) {
    parts.kubectl(&["patch", "job", job, "-p", patch]).must();
}

/// So many pods run, and wait for their sign.
#[track_caller]
fn active(parts: &Application, count: usize) {
    parts.wait_for("job/parts", "{.status.active}", &count.to_string());
    parts.until("all run", || {
        let phases = "{.items[?(@.metadata.labels.app==\"parts\")].status.phase}";
        let phases = parts.words("pods", phases);
        phases.len() == count && phases.iter().all(|phase| phase == "Running")
    });
}

/// A Job has no revisions: how many at once is what may change, and changes back.
fn updated_and_rolled_back(parts: &Application) {
    parts
        .kubectl(&[
            "patch",
            "job",
            "parts",
            "-p",
            r#"{"spec":{"completions":60}}"#,
        ])
        .must_fail_with("can only be modified in tandem with spec.parallelism");
    parts
        .kubectl(&["rollout", "undo", "job/parts"])
        .must_fail_with("");
    patch(parts, "parts", r#"{"spec":{"parallelism":12}}"#);
    active(parts, 12);
    patch(parts, "parts", r#"{"spec":{"suspend":true}}"#);
    parts.until("none while suspended", || {
        parts.pods("app=parts").is_empty()
    });
    parts.wait_for(
        "job/parts",
        "{.status.conditions[?(@.type==\"Suspended\")].status}",
        "True",
    );
    patch(
        parts,
        "parts",
        r#"{"spec":{"suspend":false,"parallelism":8}}"#,
    );
    active(parts, 8);
}

fn drained(parts: &Application) {
    parts.drain(&["--timeout=60s"]).must_say("drained");
    parts.until("others wait", || {
        let phases = parts.words("pods", "{.items[*].status.phase}");
        phases.len() == 9 && phases.iter().all(|phase| phase == "Pending")
    });
    parts.uncordon();
    active(parts, 8);
}

fn the_work_is_done(parts: &Application) {
    let index = "batch.kubernetes.io/job-completion-index=0";
    let pods = parts.pods(index);
    let first = pods.first().expect("the pod of index 0");
    parts
        .kubectl(&["exec", first, "--", "touch", "/results/go"])
        .must();
    for job in ["parts", "sum"] {
        let wait = [
            "wait",
            "--for=condition=complete",
            &format!("job/{job}"),
            "--timeout=120s",
        ];
        let ran = parts.kubectl(&wait);
        assert!(ran.ok, "{ran:?}\n{}", parts.picture());
    }
    // What was evicted was not counted as failed.
    let counts = "{.status.succeeded}/{.status.failed}/{.status.completedIndexes}";
    assert_eq!(parts.value("job/parts", counts), "50//0-49");
    let said = parts.kubectl(&["logs", "job/sum"]).must().stdout;
    assert_eq!(said, format!("sum {SUM}\n"));
}
