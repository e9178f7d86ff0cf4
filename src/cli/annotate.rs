//! `coracle annotate`: sets and removes annotations.

use super::Outcome;
use super::connect::ClientArgs;
use super::metadata::{self, Map, MetadataArgs};

#[derive(Debug, clap::Args)]
pub struct AnnotateArgs {
    #[command(flatten)]
    metadata: MetadataArgs,
}

pub async fn run(args: AnnotateArgs, client: ClientArgs) -> Outcome {
    metadata::run(Map::Annotations, args.metadata, client).await
}
