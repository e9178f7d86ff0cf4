//! The `coracle` command: verbs for a node's owner and for its users.
//!
//! What comes in: the command line, manifests, kubeconfig files, the terminal.
//!
//! What goes out: requests through `client`, tables and documents on standard output, errors as
//! kubectl words them on standard error, an exit code. `up`, `demo` and `reset` start or clear a node.
//!
//! Verbs for users speak to the API only and never know whether the server is Coracle's. The shim is
//! dispatched before anything else is built: it must stay single-threaded and small.

mod annotate;
mod api_resources;
mod api_versions;
mod apply;
mod attach;
mod autoscale;
mod choose;
mod completion;
mod connect;
mod cordon;
mod cp;
mod create;
mod debug;
mod delete;
mod demo;
mod describe;
mod describe_verb;
mod diff;
mod discovery;
mod doctor;
mod drain;
mod edit;
mod error;
mod events;
mod exec;
mod explain;
mod expose;
#[cfg(test)]
mod fake_server;
mod follow;
mod get;
mod heap;
mod hello;
mod host;
mod image;
mod json_path;
mod kubeconfig;
mod label;
mod logs;
mod manifest;
mod metadata;
mod node_args;
mod outcome;
mod patch;
mod port_forward;
mod pressure_args;
mod print;
mod ps;
mod remote;
mod replace;
mod reset;
mod resource_args;
mod rollout;
mod run;
mod scale;
mod scratch;
mod selection;
mod set;
mod taint;
mod terminal;
mod top;
mod up;
mod version;
mod wait;
mod why;
mod write_args;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What a verb ends with: its exit code, or an error to print.
type Outcome = Result<ExitCode, anyhow::Error>;

/// Where a node keeps its data unless told otherwise.
const DATA_DIR: &str = "/var/lib/coracle";

/// A Kubernetes-compatible cluster that small boards carry.
#[derive(Debug, Parser)]
#[command(name = "coracle", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    client: connect::ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start this node in the foreground.
    Up(Box<up::UpArgs>),
    /// Show a throw-away node at work, then clean up.
    Demo(demo::DemoArgs),
    /// Print one or many objects.
    Get(get::GetArgs),
    /// Show an object in detail, with its events.
    Describe(describe_verb::DescribeArgs),
    /// Create or change objects as manifests say.
    Apply(apply::ApplyArgs),
    /// Create objects, from files or from a few words.
    Create(Box<create::CreateArgs>),
    /// Run an image in a pod of its own.
    Run(Box<run::RunArgs>),
    /// Put a service in front of what runs.
    Expose(Box<expose::ExposeArgs>),
    /// Set the number of replicas.
    Scale(scale::ScaleArgs),
    /// Follow a workload's change, or take it back.
    Rollout(rollout::RolloutArgs),
    /// Let the number of replicas follow the load.
    Autoscale(autoscale::AutoscaleArgs),
    /// Set one thing of an object.
    Set(Box<set::SetArgs>),
    /// Delete objects.
    Delete(delete::DeleteArgs),
    /// Replace objects by what manifests say.
    Replace(replace::ReplaceArgs),
    /// Change fields of an object as a patch says.
    Patch(patch::PatchArgs),
    /// Edit objects in an editor.
    Edit(edit::EditArgs),
    /// Print what an apply of manifests would change.
    Diff(diff::DiffArgs),
    /// Set or remove labels.
    Label(label::LabelArgs),
    /// Set or remove annotations.
    Annotate(annotate::AnnotateArgs),
    /// Set or remove taints of nodes.
    Taint(taint::TaintArgs),
    /// Let nodes take no new pods, and see their pods off.
    Drain(drain::DrainArgs),
    /// Return once objects are as told.
    Wait(wait::WaitArgs),
    /// Let a node take no new pods.
    Cordon(cordon::CordonArgs),
    /// Let a node take new pods again.
    Uncordon(cordon::CordonArgs),
    /// Print the logs of a container.
    Logs(logs::LogsArgs),
    /// Run a command in a container.
    Exec(exec::ExecArgs),
    /// Attach to a running container's streams.
    Attach(attach::AttachArgs),
    /// Forward local ports to a pod.
    PortForward(port_forward::PortForwardArgs),
    /// Copy files and directories to and from containers.
    Cp(cp::CpArgs),
    /// Tell why a pod, a workload, a claim or a namespace is not as it should be, and what would mend it.
    Why(why::WhyArgs),
    /// Look around in a pod, in a copy of it, or on a node, with a container of your own.
    Debug(Box<debug::DebugArgs>),
    /// Print what happened, the oldest first.
    Events(events::EventsArgs),
    /// Print what nodes or pods use.
    Top(top::TopArgs),
    /// Print this node's containers straight from the runtime, without an API.
    Ps(ps::PsArgs),
    /// Manage a node's images.
    Image(image::ImageArgs),
    /// Print the administrator's kubeconfig of this node.
    Kubeconfig,
    /// Remove everything Coracle put on this host.
    Reset(reset::ResetArgs),
    /// Check whether this host can be a node.
    Doctor(DoctorArgs),
    /// Print the fields of a kind.
    Explain(explain::ExplainArgs),
    /// Print the kinds the server has.
    ApiResources(api_resources::ApiResourcesArgs),
    /// Print the versions of the API the server has.
    ApiVersions(api_versions::ApiVersionsArgs),
    /// Print a shell's completion script.
    Completion(completion::CompletionArgs),
    /// Print the versions of this command and of the server.
    Version(version::VersionArgs),
    /// The web server in the built-in image `coracle.local/hello`.
    #[command(hide = true)]
    Hello(hello::HelloArgs),
}

#[derive(Debug, clap::Args)]
struct DoctorArgs {
    /// Mend what can be mended safely.
    #[arg(long)]
    fix: bool,
}

/// Parses the command line, runs the verb, prints errors to standard error.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|verb| verb == "shim") {
        let rest: Vec<String> = arguments
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        return crate::runtime::shim_main(&rest);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(1);
            // Help goes to standard output, mistakes to standard error; a closed pipe is nobody's loss.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match dispatch(cli.verb, cli.client) {
        Ok(code) => code,
        Err(error) => {
            error::print(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: Verb, client: connect::ClientArgs) -> Outcome {
    // Fails only where a provider is installed already, which is then ours.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match verb {
        Verb::Up(args) => up::run(*args, client.data_dir),
        Verb::Demo(args) => demo::run(&args),
        Verb::Get(args) => client_verb(get::run(args, client)),
        Verb::Describe(args) => client_verb(describe_verb::run(args, client)),
        Verb::Apply(args) => client_verb(apply::run(args, client)),
        Verb::Create(args) => client_verb(create::run(*args, client)),
        Verb::Run(args) => client_verb(run::run(*args, client)),
        Verb::Expose(args) => client_verb(expose::run(*args, client)),
        Verb::Scale(args) => client_verb(scale::run(args, client)),
        Verb::Rollout(args) => client_verb(rollout::run(args, client)),
        Verb::Autoscale(args) => client_verb(autoscale::run(args, client)),
        Verb::Set(args) => client_verb(set::run(*args, client)),
        Verb::Delete(args) => client_verb(delete::run(args, client)),
        Verb::Replace(args) => client_verb(replace::run(args, client)),
        Verb::Patch(args) => client_verb(patch::run(args, client)),
        Verb::Label(args) => client_verb(label::run(args, client)),
        Verb::Annotate(args) => client_verb(annotate::run(args, client)),
        Verb::Taint(args) => client_verb(taint::run(args, client)),
        Verb::Edit(args) => client_verb(edit::run(args, client)),
        Verb::Diff(args) => client_verb(diff::run(args, client)),
        Verb::Drain(args) => client_verb(drain::run(args, client)),
        Verb::Wait(args) => client_verb(wait::run(args, client)),
        Verb::Cordon(args) => client_verb(cordon::run(args, true, client)),
        Verb::Uncordon(args) => client_verb(cordon::run(args, false, client)),
        Verb::Logs(args) => client_verb(logs::run(args, client)),
        Verb::Exec(args) => client_verb(exec::run(args, client)),
        Verb::Attach(args) => client_verb(attach::run(args, client)),
        Verb::PortForward(args) => client_verb(port_forward::run(args, client)),
        Verb::Cp(args) => client_verb(cp::run(args, client)),
        Verb::Why(args) => client_verb(why::run(args, client)),
        Verb::Debug(args) => client_verb(debug::run(*args, client)),
        Verb::Events(args) => client_verb(events::run(args, client)),
        Verb::Top(args) => client_verb(top::run(args, client)),
        Verb::Ps(args) => client_verb(ps::run(args, client.data_dir)),
        Verb::Image(args) => client_verb(image::run(args, client)),
        Verb::Kubeconfig => kubeconfig::run(&client.data_dir),
        Verb::Reset(args) => client_verb(reset::run(args, client.data_dir)),
        Verb::Doctor(args) => Ok(doctor::run(args.fix, &client.data_dir)),
        Verb::Explain(args) => client_verb(explain::run(args, client)),
        Verb::ApiResources(args) => client_verb(api_resources::run(args, client)),
        Verb::ApiVersions(args) => client_verb(api_versions::run(args, client)),
        Verb::Completion(args) => completion::run(&args),
        Verb::Version(args) => client_verb(version::run(args, client)),
        Verb::Hello(args) => hello::run(&args),
    }
}

/// Runs a verb on one thread. A closed pipe ends the process quietly, as it ends every filter.
fn client_verb(verb: impl Future<Output = Outcome>) -> Outcome {
    terminal::die_by_closed_pipe();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(verb);
    // A read of standard input may still block a thread; the process ends all the same.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines_of_kubectl_users_are_understood() {
        for line in [
            "coracle get pods -o wide -w",
            "coracle create deployment web --image=a --replicas=2 --dry-run=client -o yaml -- sleep 5",
            "coracle create -f a.yaml --save-config",
            "coracle create secret generic s --from-literal=a=b",
            "coracle run web --image=a -it --rm --restart=Never --command -- sh -c x",
            "coracle run web --image=a --port=80 --expose --dry-run=server",
            "coracle expose deploy/web --port=80 --target-port=http --type=NodePort",
            "coracle scale deploy/a rs/b --replicas=3 --current-replicas=2 --timeout=1m",
            "coracle rollout status deploy/web --timeout=30s -w=false",
            "coracle set image deploy/web main=nginx:2 -l app=web",
            "coracle set env -f a.yaml --local A=b C-",
            "coracle set resources deploy web -c main --limits=cpu=1",
            "coracle set subject rolebinding a --user=u",
            "coracle autoscale deploy/web --max=5 --min=2 --cpu-percent=80",
            "coracle rollout undo sts/db --to-revision=3 --dry-run=server",
            "coracle get pods,svc -A -l app=web --field-selector status.phase=Running",
            "coracle get pod/web -oyaml -n kube-system",
            "coracle apply -f a.yaml -f dir -R",
            "coracle apply -f -",
            "coracle delete pod web --grace-period=0 --force",
            "coracle delete -f a.yaml --wait=false",
            "coracle delete pods --all --now",
            "coracle logs web -c app -f --tail=5 --since=1h30m --timestamps",
            "coracle logs -p web",
            "coracle logs -l app=web -f --max-log-requests 9 --ignore-errors --all-containers --prefix",
            "coracle exec -it web -c app -- sh -c 'ls -l'",
            "coracle exec web -- ls",
            "coracle attach web -c app -it",
            "coracle port-forward pod/web 8080:80 :443 --address 0.0.0.0,localhost",
            "coracle port-forward svc/web 80",
            "coracle cp dir web:/tmp/dir -c app --no-preserve",
            "coracle cp ns/web:/etc/hosts hosts --retries=3",
            "coracle why pod/web",
            "coracle why web -n kube-system",
            "coracle why deployment/web",
            "coracle ps -a -o json",
            "coracle top pods -A --containers --sort-by=memory --no-headers",
            "coracle top node boat --show-capacity",
            "coracle events -A --types=Warning,Normal -w",
            "coracle events --for pod/web -o yaml",
            "coracle debug web -it --image=busybox --target=app -- sh",
            "coracle debug web --copy-to=web-2 --set-image=*=busybox --share-processes=false",
            "coracle debug node/boat --image busybox --profile sysadmin --attach=false",
            "coracle image import a.tar b.tar",
            "coracle image pull docker.io/library/busybox:1 --node boat",
            "coracle up --node-name boat --pod-cidr 10.42.1.0/24 --listen 127.0.0.1:6443",
            "coracle demo --once",
            "coracle reset --yes",
            "coracle label pods --all app=web old- --overwrite",
            "coracle annotate -f a.yaml note=x --resource-version=5",
            "coracle label pod web --list",
            "coracle taint nodes boat gpu=yes:NoSchedule old- --overwrite",
            "coracle wait pod/web --for=condition=Ready --timeout=60s",
            "coracle wait pods --all --for=delete --timeout -1s",
            "coracle wait --for=jsonpath={.status.phase}=Running pod/web",
            "coracle drain boat --ignore-daemonsets --delete-emptydir-data --force --grace-period=0 --timeout=5m",
            "coracle drain -l a=b --pod-selector=app=web --disable-eviction --skip-wait-for-delete-timeout=5 --dry-run=server",
            "coracle edit deploy/web -o json",
            "coracle diff -f a.yaml -l app=web",
            "coracle cordon boat",
            "coracle uncordon -l disk=fast --dry-run=server",
            "coracle patch deploy/web -p '{}' --type=merge --subresource=status",
            "coracle replace -f a.yaml --force --grace-period=0",
            "coracle api-resources --namespaced=false -o wide --verbs=list,get",
            "coracle explain pods.spec.containers --recursive",
            "coracle explain hpa --api-version=autoscaling/v1",
            "coracle api-versions",
            "coracle completion fish",
            "coracle version --client",
            "coracle -n kube-system exec web -- sh -c x",
            "coracle --kubeconfig /x --data-dir /y get pods -n z",
            "coracle up --data-dir /x --run-dir /y",
            "coracle reset --force --data-dir /x --run-dir /y",
            "coracle hello --say x",
        ] {
            assert!(
                Cli::try_parse_from(line.split(' ')).is_ok(),
                "{line}: {:?}",
                Cli::try_parse_from(line.split(' ')).err()
            );
        }
        for line in [
            "coracle get pods -o table",
            "coracle exec web ls",
            "coracle up --pod-cidr 10.42.0.0/99",
            "coracle up --bridge a/b",
            "coracle logs web --since=soon",
            "coracle top pods web -A",
            "coracle events --types=Odd",
            "coracle debug web --target=a --copy-to=b --image=i",
            "coracle debug web --image=i --replace",
            "coracle logs",
            "coracle logs web -l app=web",
            "coracle",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
