//! Choosing, among the images of an index, the one for this machine (image-spec, "Platform Variants"; containerd's
//! platforms package for what is left out).

use super::ImageError;
use super::compat32;
use super::manifest::{Descriptor, DescriptorPlatform};

/// This machine in Go's words, as registries use them: `GOARCH` and variant.
pub(super) fn host() -> DescriptorPlatform {
    let machine = nix::sys::utsname::uname()
        .map(|name| name.machine().to_string_lossy().into_owned())
        .unwrap_or_default();
    named(std::env::consts::ARCH, &machine)
}

/// `architecture` is the one this binary was built for, `machine` the kernel's name for the processor (`uname -m`).
fn named(architecture: &str, machine: &str) -> DescriptorPlatform {
    let (architecture, variant) = match architecture {
        "x86_64" => ("amd64", ""),
        "aarch64" => ("arm64", "v8"),
        // A 32-bit binary may run under a 64-bit kernel, or be made for less than the processor is.
        "arm" if machine.starts_with("armv8") || machine == "aarch64" => ("arm", "v8"),
        "arm" if machine.starts_with("armv6") => ("arm", "v6"),
        "arm" if machine.starts_with("armv5") => ("arm", "v5"),
        "arm" => ("arm", "v7"),
        "x86" => ("386", ""),
        "powerpc64" => ("ppc64le", ""),
        other => (other, ""),
    };
    DescriptorPlatform {
        os: "linux".to_owned(),
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
    }
}

/// The 32-bit platform that a 64-bit machine may run too.
fn sibling(host: &DescriptorPlatform) -> Option<DescriptorPlatform> {
    let (architecture, variant) = match host.architecture.as_str() {
        "arm64" => ("arm", "v8"),
        "amd64" => ("386", ""),
        _ => return None,
    };
    Some(DescriptorPlatform {
        os: host.os.clone(),
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
    })
}

/// Other spellings, and what a missing variant stands for.
fn normal(platform: &DescriptorPlatform) -> DescriptorPlatform {
    let architecture = platform.architecture.to_ascii_lowercase();
    let variant = platform.variant.to_ascii_lowercase();
    let digits = matches!(variant.as_str(), "5" | "6" | "7" | "8");
    let variant = if digits {
        format!("v{variant}")
    } else {
        variant
    };
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("aarch64", variant) => ("arm64", variant),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("i386" | "i686", _) => ("386", ""),
        ("armhf", _) | ("arm", "") => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        (architecture, variant) => (architecture, variant),
    };
    DescriptorPlatform {
        os: platform.os.to_ascii_lowercase(),
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
    }
}

/// How well `offer` suits `host`: `None` not at all, larger is better.
pub(super) fn suitability(host: &DescriptorPlatform, offer: &DescriptorPlatform) -> Option<u32> {
    let offer = normal(offer);
    if host.os != offer.os || host.architecture != offer.architecture {
        return None;
    }
    let level = |variant: &str| {
        variant
            .strip_prefix('v')
            .and_then(|v| v.parse::<u32>().ok())
    };
    match (level(&host.variant), level(&offer.variant)) {
        (_, None) if offer.variant.is_empty() => Some(1),
        // amd64 without a stated level runs the baseline only.
        (None, Some(offered)) => (offered == 1).then_some(1),
        // 32-bit ARM code of an older level runs on a newer one; the nearest is best.
        (Some(ours), Some(offered)) => (offered <= ours).then_some(1 + offered),
        (_, None) => None,
    }
}

fn best<'a>(host: &DescriptorPlatform, entries: &'a [Descriptor]) -> Option<&'a Descriptor> {
    let mut best: Option<(u32, &Descriptor)> = None;
    for entry in entries {
        let score = match &entry.platform {
            Some(platform) => suitability(host, platform),
            // An index of one image need not say for whom.
            None => Some(0),
        };
        if let Some(score) = score
            && best.is_none_or(|(found, _)| score > found)
        {
            best = Some((score, entry));
        }
    }
    best.map(|(_, entry)| entry)
}

/// The entry of an index that suits this machine best: its own kind, else 32-bit code where that runs.
pub(super) fn choose<'a>(
    entries: &'a [Descriptor],
    what: &str,
) -> Result<&'a Descriptor, ImageError> {
    choose_for(&host(), entries, &compat32::runs).ok_or_else(|| {
        let offered: Vec<String> = entries
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            .filter(|platform| platform.os != "unknown")
            .map(name)
            .collect();
        ImageError::Platform {
            what: what.to_owned(),
            platform: name(&host()),
            offered: offered.join(", "),
        }
    })
}

fn choose_for<'a>(
    host: &DescriptorPlatform,
    entries: &'a [Descriptor],
    runs_32_bit: &dyn Fn() -> bool,
) -> Option<&'a Descriptor> {
    best(host, entries).or_else(|| {
        let found = best(&sibling(host)?, entries)?;
        runs_32_bit().then_some(found)
    })
}

/// Errs where an image's own configuration names another platform.
pub(super) fn check(found: &DescriptorPlatform, what: &str) -> Result<(), ImageError> {
    let host = host();
    // Images made by hand may leave it out.
    if found.architecture.is_empty()
        || suitability(&host, found).is_some()
        || sibling(&host).is_some_and(|sibling| suitability(&sibling, found).is_some())
            && compat32::runs()
    {
        return Ok(());
    }
    Err(ImageError::Platform {
        what: what.to_owned(),
        platform: name(&host),
        offered: name(found),
    })
}

/// `linux/arm/v7`.
fn name(platform: &DescriptorPlatform) -> String {
    let mut text = format!("{}/{}", platform.os, platform.architecture);
    if !platform.variant.is_empty() {
        text.push('/');
        text.push_str(&platform.variant);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> DescriptorPlatform {
        let mut parts = text.split('/').map(str::to_owned);
        DescriptorPlatform {
            os: parts.next().unwrap_or_default(),
            architecture: parts.next().unwrap_or_default(),
            variant: parts.next().unwrap_or_default(),
        }
    }

    #[test]
    fn the_nearest_variant_that_runs_is_best() {
        for (host, offers, best) in [
            (
                "linux/arm/v7",
                vec!["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"],
                Some("linux/arm/v7"),
            ),
            (
                "linux/arm/v6",
                vec!["linux/arm/v7", "linux/arm/v5", "linux/arm/v6"],
                Some("linux/arm/v6"),
            ),
            ("linux/arm/v6", vec!["linux/arm/v7"], None),
            (
                "linux/arm64/v8",
                vec!["linux/amd64", "linux/arm64"],
                Some("linux/arm64"),
            ),
            (
                "linux/arm64/v8",
                vec!["linux/arm64/v8", "linux/arm64"],
                Some("linux/arm64/v8"),
            ),
            (
                "linux/amd64",
                vec!["linux/amd64/v3", "linux/amd64"],
                Some("linux/amd64"),
            ),
            ("linux/amd64", vec!["linux/amd64/v3"], None),
            (
                "linux/amd64",
                vec!["windows/amd64", "unknown/unknown"],
                None,
            ),
        ] {
            let host = platform(host);
            let found = offers
                .iter()
                .filter_map(|offer| {
                    suitability(&host, &platform(offer)).map(|score| (score, *offer))
                })
                .max()
                .map(|(_, offer)| offer);
            assert_eq!(found, best, "{host:?} among {offers:?}");
        }
    }

    #[test]
    fn thirty_two_bit_images_only_where_they_run_and_nothing_better_is_there() {
        let entry = |text: &str| Descriptor {
            media_type: String::new(),
            digest: text.to_owned(),
            size: 0,
            platform: Some(platform(text)),
            annotations: None,
        };
        for (host, offers, runs, best) in [
            (
                "linux/arm64/v8",
                vec!["linux/arm/v6", "linux/arm/v7"],
                true,
                Some("linux/arm/v7"),
            ),
            ("linux/arm64/v8", vec!["linux/arm/v7"], false, None),
            (
                "linux/arm64/v8",
                vec!["linux/arm/v7", "linux/arm64"],
                true,
                Some("linux/arm64"),
            ),
            ("linux/amd64", vec!["linux/386"], true, Some("linux/386")),
            ("linux/amd64", vec!["linux/arm/v7"], true, None),
            ("linux/arm/v7", vec!["linux/arm64"], true, None),
            // Spellings of older tools; arm alone is v7.
            ("linux/arm/v6", vec!["linux/arm"], true, None),
            ("linux/arm/v7", vec!["linux/arm"], true, Some("linux/arm")),
            (
                "linux/arm64/v8",
                vec!["linux/aarch64"],
                true,
                Some("linux/aarch64"),
            ),
            (
                "linux/arm/v7",
                vec!["linux/arm/6"],
                true,
                Some("linux/arm/6"),
            ),
        ] {
            let entries: Vec<Descriptor> = offers.iter().map(|offer| entry(offer)).collect();
            let found = choose_for(&platform(host), &entries, &|| runs);
            let found = found.map(|entry| entry.digest.as_str());
            assert_eq!(found, best, "{host} among {offers:?}");
        }
    }

    #[test]
    fn the_kernel_says_which_arm_it_is() {
        for (architecture, machine, expected) in [
            ("arm", "armv7l", "linux/arm/v7"),
            ("arm", "armv6l", "linux/arm/v6"),
            ("arm", "armv8l", "linux/arm/v8"),
            ("arm", "aarch64", "linux/arm/v8"),
            ("aarch64", "aarch64", "linux/arm64/v8"),
            ("x86_64", "x86_64", "linux/amd64"),
        ] {
            assert_eq!(name(&named(architecture, machine)), expected);
        }
    }
}
