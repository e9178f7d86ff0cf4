//! What a container runs.
//! <https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/>

use super::ConfigError;
use super::env::expand;
use crate::image::ImageConfig;
use k8s_openapi::api::core::v1::Container;
use std::collections::BTreeMap;

/// The argument vector: `command` replaces ENTRYPOINT and CMD, `args` alone replaces CMD.
/// `$(NAME)` stands for a variable of the container's own environment.
pub fn args(
    container: &Container,
    image: &ImageConfig,
    env: &BTreeMap<String, String>,
) -> Result<Vec<String>, ConfigError> {
    let command = container.command.as_deref().unwrap_or_default();
    let arguments = container.args.as_deref().unwrap_or_default();
    let expanded =
        |list: &[String]| -> Vec<String> { list.iter().map(|a| expand(a, env)).collect() };
    let vector: Vec<String> = if !command.is_empty() {
        expanded(command)
            .into_iter()
            .chain(expanded(arguments))
            .collect()
    } else if !arguments.is_empty() {
        image
            .entrypoint
            .iter()
            .cloned()
            .chain(expanded(arguments))
            .collect()
    } else {
        image.entrypoint.iter().chain(&image.cmd).cloned().collect()
    };
    if vector.is_empty() {
        return Err(ConfigError(format!(
            "no command specified: neither container \"{}\" nor its image says what to run; set command in the pod's spec",
            container.name
        )));
    }
    Ok(vector)
}

/// `workingDir`, the image's, or `/`.
pub fn working_dir(container: &Container, image: &ImageConfig) -> String {
    [
        container.working_dir.as_deref().unwrap_or_default(),
        &image.working_dir,
        "/",
    ]
    .into_iter()
    .find(|d| !d.is_empty())
    .unwrap_or("/")
    .to_string()
}

/// The number of a stop signal as images write it (`SIGQUIT`, `QUIT`, `3`); SIGTERM where it is empty or unknown.
pub fn stop_signal(text: &str) -> i32 {
    use nix::sys::signal::Signal;
    if let Ok(number) = text.parse::<i32>() {
        // 1 to 64: all signals Linux has, the real-time ones included.
        return if (1..=64).contains(&number) {
            number
        } else {
            Signal::SIGTERM as i32
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name
        .strip_prefix("RTMIN+")
        .and_then(|o| o.parse::<i32>().ok())
        && (0..=30).contains(&offset)
    {
        // SIGRTMIN is 34 for a container's C library (32 and 33 are its own); systemd images stop on RTMIN+3.
        return 34 + offset;
    }
    match name {
        "RTMIN" => return 34,
        "RTMAX" => return 64,
        // Other names of the same, signal(7).
        "CLD" => return Signal::SIGCHLD as i32,
        "POLL" => return Signal::SIGIO as i32,
        "IOT" => return Signal::SIGABRT as i32,
        _ => {}
    }
    if let Some(offset) = name
        .strip_prefix("RTMAX-")
        .and_then(|o| o.parse::<i32>().ok())
        && (0..=30).contains(&offset)
    {
        return 64 - offset;
    }
    format!("SIG{name}")
        .parse::<Signal>()
        .unwrap_or(Signal::SIGTERM) as i32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_string()).collect()
    }

    #[test]
    fn entrypoint_and_cmd_rules() {
        // The documentation's table: image entrypoint, image cmd, command, args, what runs.
        let image = ImageConfig {
            entrypoint: strings(&["/ep-1"]),
            cmd: strings(&["foo", "bar"]),
            ..ImageConfig::default()
        };
        let table: [(&[&str], &[&str], &[&str]); 4] = [
            (&[], &[], &["/ep-1", "foo", "bar"]),
            (&["/ep-2"], &[], &["/ep-2"]),
            (&[], &["zoo", "boo"], &["/ep-1", "zoo", "boo"]),
            (&["/ep-2"], &["zoo", "$(V)"], &["/ep-2", "zoo", "v"]),
        ];
        let env = BTreeMap::from([("V".to_string(), "v".to_string())]);
        for (command, arguments, expected) in table {
            let container = Container {
                command: Some(strings(command)),
                args: Some(strings(arguments)),
                ..Container::default()
            };
            assert_eq!(args(&container, &image, &env).unwrap(), strings(expected));
        }
        let nothing = args(&Container::default(), &ImageConfig::default(), &env);
        assert!(nothing.unwrap_err().0.starts_with("no command specified"));
    }

    #[test]
    fn stop_signals() {
        for (text, expected) in [
            ("", 15),
            ("SIGTERM", 15),
            ("QUIT", 3),
            ("sigint", 2),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("nonsense", 15),
            ("900", 15),
        ] {
            assert_eq!(stop_signal(text), expected, "{text}");
        }
    }
}
