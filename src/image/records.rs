//! Which images there are and what their names are: small JSON files, each replaced whole.
//!
//! `images/<hex of id>.json` describes an image; `names.json` maps every full name, tag or digest form, to an image.
//! A name moves from one image to another with one rename. An image is written before its names and removed after them.

use super::digest::Digest;
use super::durable::{replace, sync_parent};
use super::layers::listing;
use super::{Image, ImageConfig, ImageError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Most images of one node; the kubelet's garbage collection works far below.
const IMAGES_MAX: usize = 10_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    id: String,
    layers: Vec<String>,
    size_bytes: u64,
    config: ImageConfig,
}

/// The records, in memory and on disk.
#[derive(Debug)]
pub(super) struct Records {
    dir: PathBuf,
    images: BTreeMap<String, Record>,
    names: BTreeMap<String, String>,
}

impl Records {
    /// Reads what is there; a name whose image is gone is forgotten.
    pub fn open(dir: &Path) -> Result<Records, ImageError> {
        let folder = dir.join("images");
        fs::create_dir_all(&folder).map_err(|error| ImageError::io("create", &folder, error))?;
        let mut records = Records {
            dir: dir.into(),
            images: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        for path in listing(&folder)? {
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let record: Record = read(&path)?;
                records.images.insert(record.id.clone(), record);
            } else {
                // The temporary file of a write that a power cut ended.
                fs::remove_file(&path).map_err(|error| ImageError::io("remove", &path, error))?;
            }
        }
        let names = records.names_path();
        if names.exists() {
            records.names = read(&names)?;
        }
        records
            .names
            .retain(|_, id| records.images.contains_key(id));
        Ok(records)
    }

    fn names_path(&self) -> PathBuf {
        self.dir.join("names.json")
    }

    fn record_path(&self, id: &str) -> PathBuf {
        let hex = id.strip_prefix("sha256:").unwrap_or(id);
        self.dir.join("images").join(format!("{hex}.json"))
    }

    fn save_names(&self) -> Result<(), ImageError> {
        replace(&self.names_path(), &to_json(&self.names)?)
    }

    /// Adds or renames an image. Writes nothing where nothing changes.
    pub fn put(
        &mut self,
        id: &str,
        layers: &[Digest],
        size_bytes: u64,
        config: ImageConfig,
        names: &[String],
    ) -> Result<Image, ImageError> {
        if !self.images.contains_key(id) {
            if self.images.len() >= IMAGES_MAX {
                return Err(ImageError::Limit {
                    what: "images on this node".to_owned(),
                    value: self.images.len() as u64 + 1,
                    limit: IMAGES_MAX as u64,
                });
            }
            let record = Record {
                id: id.to_owned(),
                layers: layers.iter().map(Digest::to_string).collect(),
                size_bytes,
                config,
            };
            replace(&self.record_path(id), &to_json(&record)?)?;
            self.images.insert(id.to_owned(), record);
        }
        let mut changed = false;
        for name in names {
            changed |= self.names.insert(name.clone(), id.to_owned()).as_deref() != Some(id);
        }
        if changed {
            self.save_names()?;
        }
        self.get(id).ok_or_else(|| ImageError::Absent {
            reference: id.to_owned(),
        })
    }

    /// The image with this id.
    pub fn get(&self, id: &str) -> Option<Image> {
        self.images.get(id).map(|record| self.image(record))
    }

    /// The id a full name points to.
    pub fn resolve(&self, name: &str) -> Option<&str> {
        self.names.get(name).map(String::as_str)
    }

    /// All images, by id.
    pub fn list(&self) -> Vec<Image> {
        self.images
            .values()
            .map(|record| self.image(record))
            .collect()
    }

    /// Forgets one name.
    pub fn remove_name(&mut self, name: &str) -> Result<(), ImageError> {
        self.names.remove(name);
        self.save_names()
    }

    /// Forgets an image and all its names.
    pub fn remove_image(&mut self, id: &str) -> Result<(), ImageError> {
        self.names.retain(|_, target| target != id);
        self.save_names()?;
        let path = self.record_path(id);
        fs::remove_file(&path).map_err(|error| ImageError::io("remove", &path, error))?;
        sync_parent(&path)?;
        self.images.remove(id);
        Ok(())
    }

    /// Forgets images for which `is_whole` is false; returns their ids.
    pub fn retain_whole(
        &mut self,
        is_whole: impl Fn(&Digest) -> bool,
    ) -> Result<Vec<String>, ImageError> {
        let broken: Vec<String> =
            self.images
                .values()
                .filter(|record| {
                    !record.layers.iter().all(|layer| {
                        Digest::parse(layer, "layer").is_ok_and(|layer| is_whole(&layer))
                    })
                })
                .map(|record| record.id.clone())
                .collect();
        for id in &broken {
            self.remove_image(id)?;
        }
        Ok(broken)
    }

    /// Layers that some image consists of.
    pub fn layers(&self) -> BTreeSet<Digest> {
        self.images
            .values()
            .flat_map(|record| &record.layers)
            .filter_map(|layer| Digest::parse(layer, "layer").ok())
            .collect()
    }

    fn image(&self, record: &Record) -> Image {
        let (digests, tags) = self
            .names
            .iter()
            .filter(|(_, id)| **id == record.id)
            .map(|(name, _)| name.clone())
            .partition(|name| name.contains('@'));
        Image {
            id: record.id.clone(),
            tags,
            digests,
            layers: record.layers.clone(),
            size_bytes: record.size_bytes,
            config: record.config.clone(),
        }
    }
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, ImageError> {
    serde_json::to_vec(value).map_err(|error| ImageError::Stopped(error.to_string()))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ImageError> {
    let bytes = fs::read(path).map_err(|error| ImageError::io("read", path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| ImageError::Malformed {
        what: path.display().to_string(),
        why: format!("{error}; remove the file, then pull or import its images again"),
    })
}
