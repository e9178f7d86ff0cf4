//! A row per rule: a CronJob and its Jobs at a time, and what is to be done.
#![allow(clippy::unwrap_used)]

use super::*;
use serde_json::Value;
use std::time::Duration;

/// Made at midnight, and due every ten minutes.
fn cron_job(spec: Value, status: Value) -> Value {
    let mut object = json!({"apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"namespace": "n", "name": "c", "uid": "C", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"schedule": "*/10 * * * *", "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {}}}},
        "status": status});
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

fn minute(clock: &str) -> Timestamp {
    format!("2026-01-01T{clock}:00Z").parse().unwrap()
}

/// The Job of a time of that day, with this end, if any.
fn job(clock: &str, end: &str) -> Value {
    let name = children::name("c", minute(clock));
    let conditions = match end {
        "" => json!([]),
        end => json!([{"type": end, "status": "True"}]),
    };
    json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"namespace": "n", "name": name, "uid": clock, "annotations": {SCHEDULED: "x"},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "C", "controller": true}]},
        "spec": {"template": {}},
        "status": {"startTime": minute(clock), "completionTime": minute(clock), "conditions": conditions}})
}

fn active(clocks: &[&str]) -> Value {
    let one = |clock: &&str| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "namespace": "n", "uid": clock,
        "name": children::name("c", minute(clock))})
    };
    clocks.iter().map(one).collect()
}

fn plan(objects: &[Value], now: &str) -> Plan {
    CronJobs.reconcile(
        &World::of(objects),
        &("n".into(), "c".into()),
        now.parse().unwrap(),
    )
}

fn line(plan: &Plan) -> String {
    let minutes = |name: &str| -> String {
        let minute: i64 = name.rsplit('-').next().unwrap().parse().unwrap();
        let at = Timestamp::from_second(minute * 60).unwrap().to_string();
        at[11..16].to_owned()
    };
    let word = |action: &Action| match action {
        Action::SetStatus { status, .. } => {
            let clock = |key: &str| status[key].as_str().map(|at| at[11..16].to_owned());
            let active = status["active"].as_array().into_iter().flatten();
            let active: Vec<String> = active
                .map(|r| minutes(r["name"].as_str().unwrap()))
                .collect();
            format!(
                "status {}/{} [{}]",
                clock("lastScheduleTime").unwrap_or_default(),
                clock("lastSuccessfulTime").unwrap_or_default(),
                active.join(" ")
            )
        }
        Action::Tell { reason, .. } => format!("tell {reason}"),
        Action::Report { action, .. } => match action.as_ref() {
            Action::Create { target, .. } => format!("create {}", minutes(&target.name)),
            Action::Delete { target, .. } => format!("delete {}", minutes(&target.name)),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    plan.actions.iter().map(word).collect::<Vec<_>>().join("; ")
}

#[test]
fn runs_are_started_once_each() {
    let at = |clock: &str| json!({"lastScheduleTime": minute(clock)});
    let running =
        |clock: &str| json!({"lastScheduleTime": minute(clock), "active": active(&[clock])});
    for (rule, spec, status, jobs, clock, expected) in [
        (
            "nothing is due",
            json!({}),
            json!({}),
            vec![],
            "00:09:59",
            "",
        ),
        (
            "the first",
            json!({}),
            json!({}),
            vec![],
            "00:10:00",
            "create 00:10",
        ),
        (
            "started; then the status tells",
            json!({}),
            json!({}),
            vec![job("00:10", "")],
            "00:10:01",
            "status 00:10/ [00:10]",
        ),
        (
            "and nothing more",
            json!({}),
            running("00:10"),
            vec![job("00:10", "")],
            "00:10:02",
            "",
        ),
        (
            "the next",
            json!({}),
            at("00:10"),
            vec![],
            "00:20:00",
            "create 00:20",
        ),
        (
            "its end",
            json!({}),
            running("00:10"),
            vec![job("00:10", "Complete")],
            "00:11:00",
            "status 00:10/00:10 []; tell SawCompletedJob",
        ),
        (
            "a failed end is no success",
            json!({}),
            running("00:10"),
            vec![job("00:10", "Failed")],
            "00:11:00",
            "status 00:10/ []; tell SawCompletedJob",
        ),
        (
            "it went missing",
            json!({}),
            running("00:10"),
            vec![],
            "00:11:00",
            "status 00:10/ []; tell MissingJob",
        ),
        (
            "of missed runs the latest",
            json!({}),
            at("00:10"),
            vec![],
            "03:05:00",
            "create 03:00",
        ),
        (
            "of very many too",
            json!({"schedule": "* * * * *"}),
            at("00:10"),
            vec![],
            "02:00:30",
            "tell TooManyMissedTimes; create 02:00",
        ),
        (
            "too late for a deadline",
            json!({"startingDeadlineSeconds": 200}),
            at("00:10"),
            vec![],
            "00:25:00",
            "",
        ),
        (
            "in time for it",
            json!({"startingDeadlineSeconds": 300}),
            at("00:10"),
            vec![],
            "00:24:59",
            "create 00:20",
        ),
        (
            "suspended",
            json!({"suspend": true}),
            at("00:10"),
            vec![],
            "00:20:00",
            "",
        ),
        (
            "two may run",
            json!({"concurrencyPolicy": "Allow"}),
            running("00:10"),
            vec![job("00:10", "")],
            "00:20:00",
            "create 00:20",
        ),
        (
            "or not",
            json!({"concurrencyPolicy": "Forbid"}),
            running("00:10"),
            vec![job("00:10", "")],
            "00:20:00",
            "tell JobAlreadyActive",
        ),
        (
            "which is told once",
            json!({"concurrencyPolicy": "Forbid"}),
            running("00:10"),
            vec![job("00:10", "")],
            "00:21:00",
            "",
        ),
        (
            "or the old one goes",
            json!({"concurrencyPolicy": "Replace"}),
            running("00:10"),
            vec![job("00:10", "")],
            "00:20:00",
            "delete 00:10; create 00:20",
        ),
        (
            "and is not missed",
            json!({"concurrencyPolicy": "Replace"}),
            running("00:10"),
            vec![],
            "00:19:00",
            "status 00:10/ []",
        ),
        (
            "never",
            json!({"schedule": "0 0 31 2 *"}),
            json!({}),
            vec![],
            "00:00:05",
            "tell InvalidSchedule",
        ),
        (
            "unreadable",
            json!({"schedule": "x"}),
            json!({}),
            vec![],
            "00:20:00",
            "",
        ),
    ] {
        let mut objects = vec![cron_job(spec, status)];
        objects.extend(jobs);
        let now = format!("2026-01-01T{clock}Z");
        assert_eq!(line(&plan(&objects, &now)), expected, "{rule}");
    }
}

#[test]
fn old_jobs_are_forgotten() {
    let mut jobs = vec![cron_job(
        json!({"successfulJobsHistoryLimit": 2, "suspend": true}),
        json!({"lastScheduleTime": minute("01:00"), "lastSuccessfulTime": minute("00:40")}),
    )];
    jobs.extend(["00:10", "00:30", "00:20", "00:40"].map(|clock| job(clock, "Complete")));
    jobs.extend(["00:50", "01:00"].map(|clock| job(clock, "Failed")));
    assert_eq!(
        line(&plan(&jobs, "2026-01-01T01:01:00Z")),
        "delete 00:10; delete 00:20; delete 00:50"
    );
}

#[test]
fn jobs_that_users_make_are_not_the_schedules() {
    let mut manual = job("00:10", "");
    manual["metadata"]["name"] = "mine".into();
    manual["metadata"]["annotations"] = json!({"cronjob.kubernetes.io/instantiate": "manual"});
    let forbid = cron_job(json!({"concurrencyPolicy": "Forbid"}), json!({}));
    assert_eq!(
        line(&plan(&[forbid, manual], "2026-01-01T00:10:00Z")),
        "create 00:10"
    );
    let mut foreign = job("00:10", "");
    foreign["metadata"]["ownerReferences"] = json!([]);
    assert_eq!(
        line(&plan(
            &[cron_job(json!({}), json!({})), foreign],
            "2026-01-01T00:10:00Z"
        )),
        ""
    );
}

#[test]
fn a_clock_that_jumps_brings_neither_a_storm_nor_an_endless_wait() {
    let every_minute = json!({"schedule": "* * * * *"});
    let at = |clock: &str| json!({"lastScheduleTime": minute(clock)});
    // Forward by ten years.
    let jumped = plan(
        &[cron_job(every_minute.clone(), at("00:10"))],
        "2036-01-01T12:00:30Z",
    );
    assert_eq!(line(&jumped), "tell TooManyMissedTimes; create 12:00");
    // Back by years: from then on it goes on.
    let back = plan(
        &[
            cron_job(every_minute.clone(), at("00:10")),
            job("00:10", "Complete"),
        ],
        "2020-01-01T12:00:30Z",
    );
    assert_eq!(line(&back), "status 12:00/00:10 []");
    let mut told = at("00:10");
    told["lastScheduleTime"] = "2020-01-01T12:00:00Z".into();
    told["lastSuccessfulTime"] = json!(minute("00:10"));
    let objects = [
        cron_job(every_minute.clone(), told),
        job("00:10", "Complete"),
    ];
    assert_eq!(line(&plan(&objects, "2020-01-01T12:00:40Z")), "");
    assert_eq!(
        line(&plan(&objects, "2020-01-01T12:01:00Z")),
        "create 12:01"
    );
    // Back by seconds: it waits.
    let corrected = plan(
        &[cron_job(every_minute, at("00:10"))],
        "2026-01-01T00:09:50Z",
    );
    assert_eq!(
        (line(&corrected).as_str(), corrected.again),
        ("", Some(Duration::from_secs(10)))
    );
}

#[test]
fn a_job_is_what_its_template_says_at_its_time() {
    let spec = json!({"schedule": "30 5 * * *", "timeZone": "Asia/Kolkata"});
    let plan = plan(&[cron_job(spec, json!({}))], "2026-01-02T00:00:01Z");
    let Some(Action::Report { action, .. }) = plan.actions.last() else {
        panic!("{plan:?}");
    };
    let Action::Create { object, target } = action.as_ref() else {
        panic!("{action:?}");
    };
    assert_eq!(target.name, "c-29455200");
    let meta = &object["metadata"];
    assert_eq!(meta["labels"], json!({"a": "b"}));
    assert_eq!(
        meta["annotations"],
        json!({SCHEDULED: "2026-01-02T05:30:00+05:30"})
    );
    assert_eq!(meta["ownerReferences"][0]["kind"], "CronJob");
    assert_eq!(plan.again, Some(Duration::from_mins(1)));
}
