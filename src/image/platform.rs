//! Choosing, among the images of an index, the one for this machine (image-spec, "Platform Variants").

use super::ImageError;
use super::manifest::{Descriptor, DescriptorPlatform};

/// This machine in Go's words, as registries use them: `GOARCH` and variant.
pub(super) fn host() -> DescriptorPlatform {
    let (architecture, variant) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", ""),
        "aarch64" => ("arm64", "v8"),
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

/// How well `offer` suits `host`: `None` not at all, larger is better.
pub(super) fn suitability(host: &DescriptorPlatform, offer: &DescriptorPlatform) -> Option<u32> {
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

/// The entry of an index that suits this machine best.
pub(super) fn choose<'a>(
    entries: &'a [Descriptor],
    what: &str,
) -> Result<&'a Descriptor, ImageError> {
    let host = host();
    let mut best: Option<(u32, &Descriptor)> = None;
    for entry in entries {
        let score = match &entry.platform {
            Some(platform) => suitability(&host, platform),
            // An index of one image need not say for whom.
            None => Some(0),
        };
        if let Some(score) = score
            && best.is_none_or(|(found, _)| score > found)
        {
            best = Some((score, entry));
        }
    }
    best.map(|(_, entry)| entry).ok_or_else(|| {
        let offered: Vec<String> = entries
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            .filter(|platform| platform.os != "unknown")
            .map(name)
            .collect();
        ImageError::Platform {
            what: what.to_owned(),
            platform: name(&host),
            offered: offered.join(", "),
        }
    })
}

/// Errs where an image's own configuration names another platform.
pub(super) fn check(found: &DescriptorPlatform, what: &str) -> Result<(), ImageError> {
    let host = host();
    // Images made by hand may leave it out.
    if found.architecture.is_empty() || suitability(&host, found).is_some() {
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
}
