//! `coracle label`: sets and removes labels.

use super::Outcome;
use super::connect::ClientArgs;
use super::metadata::{self, Map, MetadataArgs};

#[derive(Debug, clap::Args)]
pub struct LabelArgs {
    #[command(flatten)]
    metadata: MetadataArgs,
}

pub async fn run(args: LabelArgs, client: ClientArgs) -> Outcome {
    metadata::run(Map::Labels, args.metadata, client).await
}
