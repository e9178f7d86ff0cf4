//! `create deployment`, `create job` and `create cronjob`.

use super::{Common, Generate, Known, Need};
use crate::cli::write_args::head;
use anyhow::Context;
use rand::Rng;
use serde_json::{Value, json};

/// Letters and digits Kubernetes' generated names are made of: none that read as words.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

#[derive(Debug, clap::Args)]
pub struct DeploymentArgs {
    #[arg(value_name = "NAME")]
    name: String,
    /// An image to run; may be repeated.
    #[arg(long, value_name = "IMAGE", required = true, value_delimiter = ',')]
    image: Vec<String>,
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1,
        allow_negative_numbers = true
    )]
    replicas: i32,
    /// The port that the first container listens on.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// What to run instead of the image's own command.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl Generate for DeploymentArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        anyhow::ensure!(
            self.image.len() == 1 || self.command.is_empty(),
            "cannot specify multiple --image options and command"
        );
        anyhow::ensure!(
            self.replicas >= 0,
            "--replicas must not be negative, not {}",
            self.replicas
        );
        let mut containers: Vec<Value> = self
            .image
            .iter()
            .map(|image| container(&container_name(image, &random_end), image, &self.command))
            .collect();
        if let (Some(port), Some(first)) = (self.port, containers.first_mut()) {
            first["ports"] = json!([{"containerPort": port}]);
        }
        let labels = json!({"app": self.name});
        let mut object = head("apps/v1", "Deployment", &self.name);
        object["metadata"]["labels"] = labels.clone();
        object["spec"] = json!({
            "replicas": self.replicas, "selector": {"matchLabels": labels}, "strategy": {},
            "template": {
                "metadata": {"creationTimestamp": null, "labels": labels},
                "spec": {"containers": containers},
            },
        });
        object["status"] = json!({});
        Ok(object)
    }
    fn refusal(&self) -> String {
        "failed to create deployment:".to_owned()
    }
}

fn container(name: &str, image: &str, command: &[String]) -> Value {
    let mut container = json!({"image": image, "name": name, "resources": {}});
    if !command.is_empty() {
        container["command"] = json!(command);
    }
    container
}

/// The image's last part, without tag and digest; one that is no name gets an end of its own.
fn container_name(image: &str, end: &dyn Fn() -> String) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let bare = last.split([':', '@']).next().unwrap_or(last);
    if bare.contains(['_', '.']) {
        format!("{}-{}", bare.replace(['_', '.'], "-"), end())
    } else {
        bare.to_owned()
    }
}

fn random_end() -> String {
    let mut random = rand::rng();
    (0..5)
        .map(|_| char::from(NAME_LETTERS[random.random_range(0..NAME_LETTERS.len())]))
        .collect()
}

#[derive(Debug, clap::Args)]
pub struct JobArgs {
    #[arg(value_name = "NAME")]
    name: String,
    /// The image to run.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// `cronjob/NAME`: run it now.
    #[arg(long, value_name = "CRONJOB")]
    from: Option<String>,
    /// What to run instead of the image's own command.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl Generate for JobArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn need(&self) -> Need {
        match (&self.from, &self.image) {
            (Some(from), None) if self.command.is_empty() => Need::Object(from.clone()),
            _ => Need::Nothing,
        }
    }
    fn object(&self, known: &Known) -> Result<Value, anyhow::Error> {
        anyhow::ensure!(
            self.image.is_some() != self.from.is_some(),
            "either --image or --from must be specified"
        );
        anyhow::ensure!(
            self.from.is_none() || self.command.is_empty(),
            "cannot specify --from and command"
        );
        let mut object = head("batch/v1", "Job", &self.name);
        object["status"] = json!({});
        if let Some(image) = &self.image {
            object["spec"] = job_spec(&self.name, image, &self.command, "Never");
            Ok(object)
        } else {
            let source = known.object.as_ref();
            from_cron_job(object, source.context("from must be an existing cronjob")?)
        }
    }
    fn refusal(&self) -> String {
        "failed to create job:".to_owned()
    }
}

fn job_spec(name: &str, image: &str, command: &[String], restart: &str) -> Value {
    json!({"template": {
        "metadata": {"creationTimestamp": null},
        "spec": {"containers": [container(name, image, command)], "restartPolicy": restart},
    }})
}

/// The Job the CronJob would start now; it belongs to it and counts in its history.
pub fn from_cron_job(mut job: Value, source: &Value) -> Result<Value, anyhow::Error> {
    anyhow::ensure!(
        source["kind"] == "CronJob",
        "from must be an existing cronjob, not a {}",
        source["kind"].as_str().unwrap_or("nameless kind")
    );
    let template = &source["spec"]["jobTemplate"];
    let mut annotations = json!({"cronjob.kubernetes.io/instantiate": "manual"});
    json_patch::merge(
        &mut annotations,
        template["metadata"]
            .get("annotations")
            .unwrap_or(&json!({})),
    );
    let metadata = &mut job["metadata"];
    metadata["annotations"] = annotations;
    if let Some(labels) = template["metadata"].get("labels") {
        metadata["labels"] = labels.clone();
    }
    // `blockOwnerDeletion` is left out: it would ask for a right on the CronJob's finalizers.
    metadata["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "CronJob", "controller": true,
        "name": source["metadata"]["name"], "uid": source["metadata"]["uid"],
    }]);
    job["spec"] = template["spec"].clone();
    Ok(job)
}

#[derive(Debug, clap::Args)]
pub struct CronJobArgs {
    #[arg(value_name = "NAME")]
    name: String,
    /// The image to run.
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// When, in five fields, for example `*/5 * * * *`.
    #[arg(long, value_name = "SCHEDULE")]
    schedule: String,
    /// OnFailure or Never.
    #[arg(long, value_name = "POLICY", default_value = "OnFailure")]
    restart: String,
    /// What to run instead of the image's own command.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl Generate for CronJobArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        let mut object = head("batch/v1", "CronJob", &self.name);
        let spec = job_spec(&self.name, &self.image, &self.command, &self.restart);
        object["spec"] = json!({
            "schedule": self.schedule,
            "jobTemplate": {"metadata": {"creationTimestamp": null, "name": self.name}, "spec": spec},
        });
        object["status"] = json!({});
        Ok(object)
    }
    fn refusal(&self) -> String {
        "failed to create cronjob:".to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn containers_are_named_after_images() {
        let end = || "x".to_owned();
        for (image, expected) in [
            ("nginx", "nginx"),
            ("docker.io/library/nginx:1.2", "nginx"),
            ("a:5000/b/busybox@sha256:00", "busybox"),
            ("my_app.v2:1", "my-app-v2-x"),
        ] {
            assert_eq!(container_name(image, &end), expected, "{image}");
        }
        assert_eq!(random_end().len(), 5);
    }

    #[test]
    fn a_job_from_a_cron_job_belongs_to_it() {
        let source = json!({
            "kind": "CronJob", "metadata": {"name": "c", "uid": "u"},
            "spec": {"jobTemplate": {"metadata": {"annotations": {"a": "b"}, "labels": {"l": "m"}}, "spec": {"x": 1}}}
        });
        let job = from_cron_job(head("batch/v1", "Job", "j"), &source).unwrap();
        assert_eq!(job["spec"], json!({"x": 1}));
        assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(
            job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"],
            "manual"
        );
        assert_eq!(job["metadata"]["labels"], json!({"l": "m"}));
        assert!(from_cron_job(json!({}), &json!({"kind": "Pod"})).is_err());
    }
}
