//! `coracle version`: this command's version and the server's.

use super::Outcome;
use super::connect::ClientArgs;
use http::Method;
use std::process::ExitCode;
use std::time::Duration;

/// Longest wait for the server: the answer is a convenience.
const SERVER_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct VersionArgs {
    /// Only this command's version; no server is asked.
    #[arg(long = "client")]
    client_only: bool,
}

/// Without a server it says so and still succeeds: the question was answered as far as it can be.
pub async fn run(args: VersionArgs, client: ClientArgs) -> Outcome {
    println!("Client Version: v{}", env!("CARGO_PKG_VERSION"));
    if args.client_only {
        return Ok(ExitCode::SUCCESS);
    }
    let server = async {
        let session = client.connect()?;
        let answer = session
            .client
            .send_value(Method::GET, "/version", None)
            .await?;
        Ok::<_, anyhow::Error>(answer)
    };
    match tokio::time::timeout(SERVER_TIMEOUT, server).await {
        Ok(Ok(answer)) => println!(
            "Server Version: {}",
            answer["gitVersion"].as_str().unwrap_or("unknown")
        ),
        Ok(Err(cause)) => eprintln!("Server Version: unknown ({cause:#})"),
        Err(_) => eprintln!(
            "Server Version: unknown (no answer within {} s)",
            SERVER_TIMEOUT.as_secs()
        ),
    }
    Ok(ExitCode::SUCCESS)
}
