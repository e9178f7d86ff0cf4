//! A Job's spec with its defaults filled in, for those stored before they were.

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use std::borrow::Cow;

/// The controller of Jobs that name none (`spec.managedBy`).
const CONTROLLER: &str = "kubernetes.io/job-controller";
const BACKOFF_LIMIT: i32 = 6;

/// What the Job asks for.
pub struct Spec<'a> {
    pub job: &'a Job,
    pub fields: Cow<'a, JobSpec>,
    pub parallelism: i32,
    /// `None`: a work queue, done when its pods say so.
    pub completions: Option<i32>,
    pub is_indexed: bool,
    pub backoff_limit: i32,
    pub is_suspended: bool,
    /// A pod that is being deleted is not replaced, and has not failed, before it has ended
    /// (`podReplacementPolicy: Failed`).
    pub only_failed_are_replaced: bool,
}

impl<'a> Spec<'a> {
    pub fn of(job: &'a Job) -> Spec<'a> {
        let fields: Cow<'a, JobSpec> = job
            .spec
            .as_ref()
            .map_or_else(|| Cow::Owned(JobSpec::default()), Cow::Borrowed);
        let is_indexed = fields.completion_mode.as_deref() == Some("Indexed");
        let replacement = fields.pod_replacement_policy.as_deref();
        Spec {
            job,
            parallelism: fields.parallelism.unwrap_or(1),
            completions: match (fields.completions, fields.parallelism, is_indexed) {
                (None, None, _) => Some(1),
                (None, parallelism, true) => parallelism,
                (completions, _, _) => completions,
            },
            is_indexed,
            backoff_limit: fields.backoff_limit.unwrap_or(
                if fields.backoff_limit_per_index.is_some() {
                    i32::MAX
                } else {
                    BACKOFF_LIMIT
                },
            ),
            is_suspended: fields.suspend == Some(true),
            only_failed_are_replaced: replacement
                .map_or(fields.pod_failure_policy.is_some(), |policy| {
                    policy == "Failed"
                }),
            fields,
        }
    }

    pub fn status(&self) -> Cow<'a, JobStatus> {
        match self.job.status.as_ref() {
            Some(status) => Cow::Borrowed(status),
            None => Cow::Owned(JobStatus::default()),
        }
    }

    pub fn is_ending(&self) -> bool {
        self.job.metadata.deletion_timestamp.is_some()
    }
}

/// Somebody else looks after it.
pub fn is_managed_elsewhere(job: &Job) -> bool {
    let manager = job.spec.as_ref().and_then(|spec| spec.managed_by.as_ref());
    manager.is_some_and(|name| name != CONTROLLER)
}

/// The condition of this kind, where it is true.
pub fn condition<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    let mut all = status.conditions.iter().flatten();
    all.find(|c| c.type_ == kind && c.status == "True")
}

/// `Complete` or `Failed`, where the Job has ended.
pub fn end(job: &Job) -> Option<&JobCondition> {
    let status = job.status.as_ref()?;
    condition(status, "Complete").or_else(|| condition(status, "Failed"))
}
