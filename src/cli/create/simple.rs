//! `create namespace` and `create serviceaccount`.

use super::{Common, Generate, Known};
use crate::cli::write_args::head;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub struct NamespaceArgs {
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    common: Common,
}

impl Generate for NamespaceArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        let mut object = head("v1", "Namespace", &self.name);
        object["spec"] = json!({});
        object["status"] = json!({});
        Ok(object)
    }
    fn refusal(&self) -> String {
        String::new()
    }
}

#[derive(Debug, clap::Args)]
pub struct ServiceAccountArgs {
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    common: Common,
}

impl Generate for ServiceAccountArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        Ok(head("v1", "ServiceAccount", &self.name))
    }
    fn refusal(&self) -> String {
        "failed to create serviceaccount:".to_owned()
    }
}
