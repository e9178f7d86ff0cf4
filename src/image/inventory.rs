//! What garbage collection needs to know of images, and its way to remove them.
//!
//! Times are kept in memory only: after a restart every image counts as found just now, as upstream's kubelet has it.

use super::sources::{Sources, matches};
use super::{Image, ImageError, Images, hello};
use std::collections::BTreeMap;

/// One image as garbage collection sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stock {
    pub image: Image,
    /// When this process first saw it, milliseconds since the epoch.
    pub found_ms: i64,
    /// When a container last used it, 0 for never.
    pub used_ms: i64,
    pub is_in_use: bool,
    /// Never to be removed by garbage collection: built in, or marked in `registries.yaml`.
    pub is_pinned: bool,
}

/// When images were found and used.
#[derive(Debug, Default)]
pub(super) struct Uses {
    by_id: BTreeMap<String, (i64, i64)>,
}

impl Uses {
    pub fn used(&mut self, id: &str, now_ms: i64) {
        self.by_id.entry(id.to_owned()).or_insert((now_ms, 0)).1 = now_ms;
    }

    fn times(&mut self, id: &str, now_ms: i64) -> (i64, i64) {
        *self.by_id.entry(id.to_owned()).or_insert((now_ms, 0))
    }
}

/// For a use that nobody else times.
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Whether any of the image's names is pinned. A pattern without a tag stands for every tag.
fn is_pinned(image: &Image, patterns: &[String]) -> bool {
    let names = || image.tags.iter().chain(&image.digests);
    names().any(|name| name == hello::NAME)
        || patterns.iter().any(|pattern| {
            names().any(|name| {
                let repository = name.split('@').next().unwrap_or_default();
                let bare = match repository.rsplit_once(':') {
                    Some((bare, tag)) if !tag.contains('/') => bare,
                    _ => repository,
                };
                matches(pattern, name) || matches(pattern, bare)
            })
        })
}

impl Images {
    /// All images by id, with what decides about their removal. Notes `now_ms` as the time of use of those that
    /// `in_use` names.
    pub fn inventory(&self, in_use: &dyn Fn(&str) -> bool, now_ms: i64) -> Vec<Stock> {
        // Where the file is wrong nothing is known to be pinned, and the pull that wants it tells.
        let patterns = self
            .files
            .read()
            .map(|Sources { registries, .. }| registries.pinned)
            .unwrap_or_default();
        let mut state = self.state();
        let images = state.records.list();
        state
            .uses
            .by_id
            .retain(|id, _| images.iter().any(|image| image.id == *id));
        images
            .into_iter()
            .map(|image| {
                let is_in_use = in_use(&image.id);
                if is_in_use {
                    state.uses.used(&image.id, now_ms);
                }
                let (found_ms, used_ms) = state.uses.times(&image.id, now_ms);
                Stock {
                    is_pinned: is_pinned(&image, &patterns),
                    image,
                    found_ms,
                    used_ms,
                    is_in_use,
                }
            })
            .collect()
    }

    /// Removes an image with all its names, as garbage collection may: not a pinned one, none in use. Its layers go
    /// unless others need them.
    pub fn collect(&self, id: &str, in_use: &dyn Fn(&str) -> bool) -> Result<(), ImageError> {
        let stock = self.inventory(&|_| false, now_ms());
        if stock
            .iter()
            .any(|stock| stock.image.id == id && stock.is_pinned)
        {
            return Err(ImageError::Pinned {
                reference: id.to_owned(),
            });
        }
        self.remove(id, in_use)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_name_images_with_or_without_their_tag() {
        let image = |tag: &str, digest: &str| Image {
            id: "i".into(),
            tags: vec![tag.into()],
            digests: vec![digest.into()],
            layers: Vec::new(),
            size_bytes: 0,
            config: super::super::ImageConfig::default(),
        };
        let ours = image("r.lan:5000/base/a:1", "r.lan:5000/base/a@sha256:00");
        for (pattern, pinned) in [
            ("r.lan:5000/base/a:1", true),
            ("r.lan:5000/base/a", true),
            ("r.lan:5000/base/*", true),
            ("*", true),
            ("r.lan:5000/base", false),
            ("r.lan:5000/base/a:2", false),
            ("r.lan", false),
        ] {
            assert_eq!(is_pinned(&ours, &[pattern.to_owned()]), pinned, "{pattern}");
        }
        assert!(is_pinned(&image(hello::NAME, ""), &[]));
        assert!(!is_pinned(&ours, &[]));
    }
}
