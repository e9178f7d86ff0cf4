//! A database whose data outlives its pods, the node's process, a drain, and the StatefulSet itself.

use super::Application;

const SET: &str = "statefulset/database";

pub fn lives() {
    let mut database = Application::new("database", include_str!("database.yaml"));
    database.apply();
    database.rolled_out(SET);
    for pod in ["database-0", "database-1"] {
        database
            .kubectl(&["exec", pod, "--", "/programs/put", "name", pod])
            .must();
    }
    assert_kept(&database, "fresh");
    // A pod that is deleted comes back to its data, and so does one that was not asked.
    database.kubectl(&["delete", "pod", "database-0"]).must();
    database.rolled_out(SET);
    assert_kept(&database, "deleted");
    database
        .kubectl(&["delete", "pod", "database-1", "--grace-period=0", "--force"])
        .must();
    database.rolled_out(SET);
    assert_kept(&database, "deleted by force");
    the_process_dies(&mut database);
    updated_and_rolled_back(&database);
    drained(&database);
    deleted_and_back(&database);
}

#[track_caller]
fn assert_kept(database: &Application, when: &str) {
    for pod in ["database-0", "database-1"] {
        let mut said = String::new();
        let what = format!("{when}: the data of {pod}");
        database.until(&what, || {
            said = database
                .kubectl(&["exec", pod, "--", "/programs/get", "name"])
                .stdout;
            said == format!("{pod}\n")
        });
    }
}

fn journal(database: &Application, pod: &str) -> String {
    database
        .kubectl(&["exec", pod, "--", "/programs/get", "journal"])
        .must()
        .stdout
}

/// `kill -9` of the node's process: containers go on, and what was acknowledged is there.
fn the_process_dies(database: &mut Application) {
    let path = "{range .items[*]}{.metadata.uid} {.status.containerStatuses[0].containerID} {end}";
    let before = database.value("pods", path);
    database
        .kubectl(&["exec", "database-0", "--", "/programs/put", "last", "words"])
        .must();
    database.node.kill_hard();
    database.node.up();
    database.rolled_out(SET);
    assert_eq!(database.value("pods", path), before);
    assert_kept(database, "after a kill");
    let last = ["exec", "database-0", "--", "/programs/get", "last"];
    database.kubectl(&last).must_say("words");
    database.kubectl(&["delete", "pods", "--all"]).must();
    database.rolled_out(SET);
    assert_kept(database, "after a kill and a deletion");
    database.kubectl(&last).must_say("words");
}

fn updated_and_rolled_back(database: &Application) {
    let release = |pod: &str| {
        let path = "{.spec.containers[0].env[?(@.name==\"RELEASE\")].value}";
        database.value(&format!("pod/{pod}"), path)
    };
    let partition = |at: u8| {
        let patch = format!(
            r#"{{"spec":{{"updateStrategy":{{"type":"RollingUpdate","rollingUpdate":{{"partition":{at}}}}}}}}}"#
        );
        database.kubectl(&["patch", SET, "-p", &patch]).must();
    };
    // One instance tries the new release before the other.
    partition(1);
    database.kubectl(&["set", "env", SET, "RELEASE=2"]).must();
    database.rolled_out(SET);
    assert_eq!(
        (release("database-0"), release("database-1")),
        ("1".into(), "2".into())
    );
    partition(0);
    database.rolled_out(SET);
    database.until("updated", || release("database-0") == "2");
    database.rolled_out(SET);
    assert_kept(database, "updated");
    assert!(journal(database, "database-1").ends_with("closed as 1\nopened as 2\n"));
    database.roll_back(SET);
    database.until("rolled back", || {
        release("database-0") == "1" && release("database-1") == "1"
    });
    database.rolled_out(SET);
    assert_kept(database, "rolled back");
    // Fewer and more again: the claim waited.
    database.kubectl(&["scale", SET, "--replicas=1"]).must();
    database.until("one pod", || {
        database.pods("app=database") == ["database-0"]
    });
    database.kubectl(&["scale", SET, "--replicas=2"]).must();
    database.rolled_out(SET);
    assert_kept(database, "scaled");
}

fn drained(database: &Application) {
    // Who takes the whole node out of service passes over the budget.
    database
        .drain(&["--disable-eviction", "--timeout=60s"])
        .must_say("drained");
    database.until("waits", || {
        database.value("pods", "{.items[*].status.phase}") == "Pending"
    });
    database.uncordon();
    database.rolled_out(SET);
    assert_kept(database, "drained");
    // Each time it was asked to end, and let end.
    let lines = journal(database, "database-0");
    assert!(lines.ends_with("closed as 1\nopened as 1\n"), "{lines}");
}

fn deleted_and_back(database: &Application) {
    let claims = [
        "persistentvolumeclaim/data-database-0",
        "persistentvolumeclaim/data-database-1",
    ];
    database.delete();
    database.assert_nothing_is_left(&claims);
    database.apply();
    database.rolled_out(SET);
    assert_kept(database, "deleted and applied again");
    // Told to take its claims along.
    let retention = r#"{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Delete"}}}"#;
    database.kubectl(&["patch", SET, "-p", retention]).must();
    for number in 0..2 {
        let claim = format!("pvc/data-database-{number}");
        database.wait_for(&claim, "{.metadata.ownerReferences[*].kind}", "StatefulSet");
    }
    database.delete();
    database.assert_nothing_is_left(&[]);
}
