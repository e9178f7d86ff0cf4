//! `coracle wait`: returns once objects are as told.
//! <https://kubernetes.io/docs/reference/kubectl/generated/kubectl_wait/>
//!
//! In: which objects, what of them, how long. Out: a line per object that got there; exit code 1 where one did not.
//! `condition` decides; this part asks and watches, so that nothing is polled.

mod condition;

use super::Outcome;
use super::choose::{ChooseArgs, Place, from_files, list, named};
use super::connect::{ClientArgs, Session};
use super::discovery::Discovery;
use super::{error, follow};
use crate::object::duration;
use condition::Awaited;
use std::time::Duration;
use tokio::time::Instant;

/// What a negative timeout means to kubectl.
const WEEK: Duration = Duration::from_hours(7 * 24);

#[derive(Debug, clap::Args)]
pub struct WaitArgs {
    /// `pod web`, `pod/web`, or a kind with --all or a selector.
    #[arg(value_name = "RESOURCE")]
    words: Vec<String>,
    #[command(flatten)]
    choose: ChooseArgs,
    /// create, delete, condition=NAME[=STATUS] or jsonpath='{.path}'[=VALUE].
    #[arg(long = "for", value_name = "WHAT", value_parser = Awaited::parse)]
    awaited: Awaited,
    /// How long, for example 30s or 5m; 0: look once; negative: a week.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse_ms, allow_hyphen_values = true)]
    timeout: i64,
}

pub async fn run(args: WaitArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let timeout = u64::try_from(args.timeout).map_or(WEEK, Duration::from_millis);
    let deadline = Instant::now() + timeout;
    let places = places(&session, &discovery, &args).await?;
    anyhow::ensure!(
        !places.is_empty() || args.awaited == Awaited::Delete,
        "no matching resources found"
    );
    let mut failed = false;
    for place in &places {
        if let Err(cause) = wait(&session, place, &args.awaited, deadline).await {
            error::print(&cause);
            failed = true;
        }
    }
    Ok(error::exit_code(failed))
}

async fn places(
    session: &Session,
    discovery: &Discovery,
    args: &WaitArgs,
) -> Result<Vec<Place>, anyhow::Error> {
    let many =
        args.choose.all || args.choose.selector.is_some() || args.choose.field_selector.is_some();
    if !args.choose.files.filename.is_empty() {
        anyhow::ensure!(
            args.words.is_empty() && !many,
            "with -f, names, --all and selectors cannot be given"
        );
        let found = from_files(session, discovery, &args.choose.files)?;
        return Ok(found.into_iter().map(|chosen| chosen.place).collect());
    }
    let mut places = Vec::new();
    for (resource, place) in named(session, discovery, &args.words)? {
        match place {
            Some(_) if many => {
                anyhow::bail!("name cannot be provided when a selector is specified")
            }
            Some(place) => places.push(place),
            None if args.awaited == Awaited::Create => {
                anyhow::bail!("--for=create needs the names of the objects")
            }
            None if many => {
                let found = list(session, &resource, &args.choose).await?;
                places.extend(found.into_iter().map(|chosen| chosen.place));
            }
            None => anyhow::bail!(
                "resource(s) were provided, but no name was specified: name them, or use --all or -l"
            ),
        }
    }
    Ok(places)
}

async fn wait(
    session: &Session,
    place: &Place,
    awaited: &Awaited,
    deadline: Instant,
) -> Result<(), anyhow::Error> {
    let mut uid = String::new();
    if *awaited != Awaited::Create {
        match place.fetch(session, None).await {
            Ok(object) => {
                if awaited.is_met(&object, "").map_err(anyhow::Error::msg)? {
                    say_met(place);
                    return Ok(());
                }
                object["metadata"]["uid"]
                    .as_str()
                    .unwrap_or_default()
                    .clone_into(&mut uid);
            }
            // Gone already is what was asked for; kubectl says nothing then.
            Err(cause) if cause.is_not_found() && *awaited == Awaited::Delete => return Ok(()),
            Err(cause) => return Err(cause.into()),
        }
    } else if place.fetch(session, None).await.is_ok() {
        say_met(place);
        return Ok(());
    }
    let there = follow::until(session, place, |object| {
        let met = awaited.is_met(object, &uid).map_err(anyhow::Error::msg)?;
        // What is gone will not get anywhere else.
        anyhow::ensure!(
            met || !object.is_null() || *awaited == Awaited::Create,
            "{} \"{}\" was deleted while it was waited for",
            place.resource.plural,
            place.name
        );
        Ok(met.then_some(()))
    });
    match tokio::time::timeout_at(deadline, there).await {
        Ok(done) => {
            done?;
            say_met(place);
            Ok(())
        }
        Err(_) => anyhow::bail!(
            "timed out waiting for the condition on {}/{}",
            place.resource.plural,
            place.name
        ),
    }
}

fn say_met(place: &Place) {
    println!("{} condition met", place.label());
}
