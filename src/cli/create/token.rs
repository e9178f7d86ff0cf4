//! `create token`: a service account's token, for a while.

use crate::cli::Outcome;
use crate::cli::connect::ClientArgs;
use crate::cli::print::document;
use crate::cli::write_args::Format;
use crate::client::object_path;
use crate::object::duration::parse_seconds;
use clap::ValueEnum;
use http::Method;
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// The service account.
    #[arg(value_name = "NAME")]
    name: String,
    /// Who shall take the token; may be repeated. Default: the API server.
    #[arg(long, value_name = "NAME")]
    audience: Vec<String>,
    /// How long it is good for, for example 10m; default: the server's choice.
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    duration: Option<u64>,
    /// The token ends with this object: Node, Pod or Secret.
    #[arg(long, value_name = "KIND", requires = "bound_object_name")]
    bound_object_kind: Option<BoundKind>,
    #[arg(long, value_name = "NAME", requires = "bound_object_kind")]
    bound_object_name: Option<String>,
    #[arg(long, value_name = "UID", requires = "bound_object_kind")]
    bound_object_uid: Option<String>,
    /// yaml, json or name; default: the token.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum BoundKind {
    Node,
    Pod,
    Secret,
}

impl TokenArgs {
    fn request(&self) -> Result<Value, anyhow::Error> {
        anyhow::ensure!(
            self.audience.iter().all(|audience| !audience.is_empty()),
            "--audience must not be an empty string"
        );
        let mut spec = json!({"audiences": self.audience});
        if let Some(seconds) = self.duration {
            spec["expirationSeconds"] = json!(seconds);
        }
        if let (Some(kind), Some(name)) = (self.bound_object_kind, &self.bound_object_name) {
            let mut bound = json!({"apiVersion": "v1", "kind": format!("{kind:?}"), "name": name});
            if let Some(uid) = &self.bound_object_uid {
                bound["uid"] = json!(uid);
            }
            spec["boundObjectRef"] = bound;
        }
        Ok(json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}))
    }
}

pub async fn run(args: &TokenArgs, client: &ClientArgs) -> Outcome {
    let request = args.request()?;
    let session = client.connect()?;
    let namespace = Some(session.namespace.as_str());
    let path = object_path(
        "",
        "v1",
        "serviceaccounts",
        namespace,
        Some(&args.name),
        Some("token"),
    );
    let content = Some(("application/json", &request));
    let answer = session
        .client
        .send_value(Method::POST, &path, content)
        .await
        .map_err(|cause| anyhow::anyhow!("failed to create token: {cause}"))?;
    let token = answer["status"]["token"].as_str().unwrap_or_default();
    anyhow::ensure!(
        !token.is_empty(),
        "failed to create token: no token in server response"
    );
    match args.output {
        Some(Format::Yaml) => print!("{}", document::yaml(&answer)?),
        Some(Format::Json) => print!("{}", document::json(&answer)?),
        Some(Format::Name) => println!("tokenrequest.authentication.k8s.io/{}", args.name),
        // A script takes the token as it is; a terminal wants its prompt on a line of its own.
        None if std::io::stdout().is_terminal() => println!("{token}"),
        None => print!("{token}"),
    }
    Ok(ExitCode::SUCCESS)
}
