//! `coracle create`: objects from files, or from a few words by a generator per kind.
//!
//! In: flags, files. Out: one object per generator, sent or printed.
//!
//! A generator is pure apart from the files its flags name: it makes the object that kubectl would make, field by
//! field. What it needs of the server (resource names for roles, a CronJob for a Job) is fetched before and handed to
//! it. Only this file sends.

mod config;
mod files;
mod hash;
mod ingress;
mod policy;
mod rbac;
mod service;
mod simple;
mod sources;
mod token;
mod workloads;

pub use policy::quantities;
pub use rbac::SubjectArgs;
pub use workloads::from_cron_job;

use super::connect::ClientArgs;
use super::discovery::Discovery;
use super::manifest::FileArgs;
use super::resource_args;
use super::write_args::{Speaker, Validate, WriteArgs, resource_of};
use super::{Outcome, apply};
use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct CreateArgs {
    #[command(subcommand)]
    generator: Option<Generator>,
    #[command(flatten)]
    files: FileArgs,
    /// Only objects of the files with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Flags of every generator.
#[derive(Debug, Clone, Default, clap::Args)]
struct Common {
    #[command(flatten)]
    write: WriteArgs,
    /// Remember the object in its annotations, for a later `apply`.
    #[arg(long)]
    save_config: bool,
    /// What the server does with unknown fields: strict refuses, warn says so, ignore drops them.
    #[arg(long, value_name = "HOW", default_value = "strict", num_args = 0..=1, require_equals = true, default_missing_value = "strict")]
    validate: Validate,
}

#[derive(Debug, Subcommand)]
enum Generator {
    /// A namespace.
    #[command(visible_alias = "ns")]
    Namespace(simple::NamespaceArgs),
    /// A config map from files, directories or literal values.
    #[command(visible_alias = "cm")]
    Configmap(config::ConfigMapArgs),
    /// A secret.
    Secret(config::SecretArgs),
    /// A service account.
    #[command(visible_alias = "sa")]
    Serviceaccount(simple::ServiceAccountArgs),
    /// A deployment of one or more images.
    #[command(visible_alias = "deploy")]
    Deployment(workloads::DeploymentArgs),
    /// A job from an image, or from a cron job.
    Job(workloads::JobArgs),
    /// A cron job.
    #[command(visible_alias = "cj")]
    Cronjob(workloads::CronJobArgs),
    /// A service.
    #[command(visible_alias = "svc")]
    Service(service::ServiceArgs),
    /// A role with one rule per API group.
    Role(rbac::RoleArgs),
    /// A cluster role.
    Clusterrole(rbac::ClusterRoleArgs),
    /// A role binding.
    Rolebinding(rbac::RoleBindingArgs),
    /// A cluster role binding.
    Clusterrolebinding(rbac::ClusterRoleBindingArgs),
    /// An ingress.
    #[command(visible_alias = "ing")]
    Ingress(ingress::IngressArgs),
    /// A pod disruption budget.
    #[command(visible_alias = "pdb")]
    Poddisruptionbudget(policy::BudgetArgs),
    /// A priority class.
    #[command(visible_alias = "pc")]
    Priorityclass(policy::PriorityClassArgs),
    /// A resource quota.
    #[command(visible_alias = "resourcequota")]
    Quota(policy::QuotaArgs),
    /// A token of a service account.
    Token(token::TokenArgs),
}

/// What a generator wants to know of the server.
#[derive(Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    /// Names of resources.
    Resources,
    /// One object, as `cronjob/name`.
    Object(String),
}

/// What was asked of the server.
#[derive(Debug, Default)]
struct Known {
    discovery: Option<Discovery>,
    object: Option<Value>,
}

/// Makes one object.
trait Generate {
    fn common(&self) -> &Common;
    fn need(&self) -> Need {
        Need::Nothing
    }
    /// The object, without its namespace.
    fn object(&self, known: &Known) -> Result<Value, anyhow::Error>;
    /// What kubectl puts before the server's refusal; empty: the refusal stands for itself.
    fn refusal(&self) -> String;
}

impl Generator {
    fn generate(&self) -> Option<&dyn Generate> {
        Some(match self {
            Generator::Namespace(args) => args,
            Generator::Configmap(args) => args,
            Generator::Secret(args) => args.generate(),
            Generator::Serviceaccount(args) => args,
            Generator::Deployment(args) => args,
            Generator::Job(args) => args,
            Generator::Cronjob(args) => args,
            Generator::Service(args) => args,
            Generator::Role(args) => args,
            Generator::Clusterrole(args) => args,
            Generator::Rolebinding(args) => args,
            Generator::Clusterrolebinding(args) => args,
            Generator::Ingress(args) => args,
            Generator::Poddisruptionbudget(args) => args,
            Generator::Priorityclass(args) => args,
            Generator::Quota(args) => args,
            Generator::Token(_) => return None,
        })
    }
}

pub async fn run(args: CreateArgs, client: ClientArgs) -> Outcome {
    match args.generator {
        None => files::run(&args.files, args.selector.as_deref(), &args.common, &client).await,
        Some(Generator::Token(args)) => token::run(&args, &client).await,
        Some(generator) => match generator.generate() {
            Some(generate) => one(generate, &client).await,
            None => anyhow::bail!("nothing to create"),
        },
    }
}

async fn one(generate: &dyn Generate, client: &ClientArgs) -> Outcome {
    let common = generate.common();
    let known = ask(&generate.need(), client).await?;
    let mut object = generate.object(&known)?;
    let resource = resource_of(&object)?;
    if let (Some(namespace), true) = (&client.namespace, resource.namespaced) {
        object["metadata"]["namespace"] = Value::String(namespace.clone());
    }
    if common.save_config {
        object = apply::with_last_applied(&object)?;
    }
    if !common.write.is_client() {
        let session = client.connect()?;
        let created = common
            .write
            .create(&session, &resource, &object, common.validate)
            .await;
        let refusal = generate.refusal();
        object = match created {
            Err(cause) if !refusal.is_empty() => anyhow::bail!("{refusal} {cause}"),
            created => created?,
        };
    }
    Speaker::new(&common.write).say(&resource, &object, "created")?;
    Ok(ExitCode::SUCCESS)
}

async fn ask(need: &Need, client: &ClientArgs) -> Result<Known, anyhow::Error> {
    if *need == Need::Nothing {
        return Ok(Known::default());
    }
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let mut object = None;
    if let Need::Object(typed) = need {
        let targets = resource_args::parse(std::slice::from_ref(typed))?;
        let resolved = resource_args::resolve(&discovery, &targets)?;
        let only = resolved
            .first()
            .context("from must be an existing cronjob")?;
        let name = only
            .name
            .as_deref()
            .context("from must be an existing cronjob")?;
        let path = only.resource.path(Some(&session.namespace), Some(name));
        object = Some(
            session
                .client
                .send_value(http::Method::GET, &path, None)
                .await?,
        );
    }
    Ok(Known {
        discovery: Some(discovery),
        object,
    })
}
