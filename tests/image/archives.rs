//! Layers and archives made by hand, good and bad.

use sha2::{Digest, Sha256};
use std::io::Write;
use tar::{Builder, EntryType, Header};

pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// A layer's tar under construction.
pub struct Layer(Builder<Vec<u8>>);

impl Layer {
    pub fn new() -> Layer {
        Layer(Builder::new(Vec::new()))
    }

    fn add(
        mut self,
        name: &str,
        kind: EntryType,
        mode: u32,
        link: Option<&str>,
        data: &[u8],
    ) -> Layer {
        let mut header = Header::new_gnu();
        // Written raw: `set_path` refuses the bad names that tests need.
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        if let Some(link) = link {
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(data.len() as u64);
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    pub fn file(self, name: &str, data: &[u8]) -> Layer {
        self.add(name, EntryType::Regular, 0o644, None, data)
    }

    pub fn program(self, name: &str, mode: u32, data: &[u8]) -> Layer {
        self.add(name, EntryType::Regular, mode, None, data)
    }

    pub fn dir(self, name: &str, mode: u32) -> Layer {
        self.add(name, EntryType::Directory, mode, None, b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Layer {
        self.add(name, EntryType::Symlink, 0o777, Some(target), b"")
    }

    pub fn hard_link(self, name: &str, target: &str) -> Layer {
        self.add(name, EntryType::Link, 0o644, Some(target), b"")
    }

    /// 1:3, which as a character device is `/dev/null`.
    pub fn device(self, name: &str) -> Layer {
        self.add(name, EntryType::Char, 0o666, None, b"")
    }

    pub fn block_device(self, name: &str) -> Layer {
        self.add(name, EntryType::Block, 0o666, None, b"")
    }

    /// PAX records for the entry that follows.
    pub fn records(mut self, records: &[(&str, &str)]) -> Layer {
        let records = records.iter().map(|(key, value)| (*key, value.as_bytes()));
        self.0.append_pax_extensions(records).unwrap();
        self
    }

    pub fn fifo(self, name: &str) -> Layer {
        self.add(name, EntryType::Fifo, 0o600, None, b"")
    }

    /// Attributes for the entry that follows.
    pub fn attribute(mut self, name: &str, value: &str) -> Layer {
        let key = format!("SCHILY.xattr.{name}");
        self.0
            .append_pax_extensions([(key.as_str(), value.as_bytes())])
            .unwrap();
        self
    }

    pub fn owned_by(mut self, name: &str, uid: u64, data: &[u8]) -> Layer {
        let mut header = Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o4711);
        header.set_uid(uid);
        header.set_gid(uid + 1);
        header.set_mtime(1_234_567_890);
        self.0.append_data(&mut header, name, data).unwrap();
        self
    }

    pub fn tar(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Form {
    Plain,
    Gzip,
    Zstd,
}

pub fn compressed(form: Form, bytes: &[u8]) -> Vec<u8> {
    match form {
        Form::Plain => bytes.to_vec(),
        Form::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Form::Zstd => {
            ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
        }
    }
}

/// `GOARCH` of this machine.
pub fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// An OCI archive under construction.
#[derive(Default)]
pub struct Oci {
    pub members: Vec<(String, Vec<u8>)>,
    index: Vec<serde_json::Value>,
}

impl Oci {
    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> serde_json::Value {
        let digest = digest(&bytes);
        let size = bytes.len();
        let name = digest.replace("sha256:", "blobs/sha256/");
        if !self.members.iter().any(|(known, _)| *known == name) {
            self.members.push((name, bytes));
        }
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    pub fn image(self, name: Option<&str>, arch: &str, form: Form, layers: &[Vec<u8>]) -> Oci {
        let suffix = match form {
            Form::Plain => "",
            Form::Gzip => "+gzip",
            Form::Zstd => "+zstd",
        };
        let layer_type = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
        self.image_of_type(name, arch, form, &layer_type, layers)
    }

    /// The same with layers that claim to be of another media type.
    pub fn image_of_type(
        mut self,
        name: Option<&str>,
        arch: &str,
        form: Form,
        layer_type: &str,
        layers: &[Vec<u8>],
    ) -> Oci {
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| self.blob(layer_type, compressed(form, layer)))
            .collect();
        let config = serde_json::json!({
            "architecture": arch, "os": "linux",
            "config": {"Entrypoint": ["/bin/busybox"], "Cmd": ["sh"], "Env": ["A=b"], "WorkingDir": "/srv", "User": "7:8", "StopSignal": "SIGINT"},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            serde_json::to_vec(&config).unwrap(),
        );
        self.manifest(name, arch, &config, &layers);
        self
    }

    fn manifest(
        &mut self,
        name: Option<&str>,
        arch: &str,
        config: &serde_json::Value,
        layers: &[serde_json::Value],
    ) {
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": layers,
        });
        let mut entry = self.blob(
            "application/vnd.oci.image.manifest.v1+json",
            serde_json::to_vec(&manifest).unwrap(),
        );
        entry["platform"] = serde_json::json!({"os": "linux", "architecture": arch});
        if let Some(name) = name {
            entry["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": name});
        }
        self.index.push(entry);
    }

    /// An image of gzip layers kept elsewhere, by diff id, digest and size.
    pub fn image_of_blobs(
        mut self,
        name: &str,
        arch: &str,
        layers: &[(String, String, usize)],
    ) -> Oci {
        let diff_ids: Vec<&String> = layers.iter().map(|(diff_id, _, _)| diff_id).collect();
        let config = serde_json::json!({
            "architecture": arch, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            serde_json::to_vec(&config).unwrap(),
        );
        let layers: Vec<_> = layers
            .iter()
            .map(|(_, digest, size)| {
                serde_json::json!({
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": digest, "size": size,
                })
            })
            .collect();
        self.manifest(Some(name), arch, &config, &layers);
        self
    }

    /// The index of all images in it.
    pub fn index(&self) -> Vec<u8> {
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": self.index,
        });
        serde_json::to_vec(&index).unwrap()
    }

    pub fn tar(&self) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        let index = self.index();
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
        let fixed = [
            ("oci-layout".to_owned(), layout),
            ("index.json".to_owned(), index),
        ];
        for (name, bytes) in self.members.iter().chain(&fixed) {
            let mut header = Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, name, bytes.as_slice())
                .unwrap();
        }
        builder.into_inner().unwrap()
    }
}

/// An archive with one image of one layer.
pub fn one_layer(name: &str, layer: Layer) -> Vec<u8> {
    Oci::default()
        .image(Some(name), arch(), Form::Gzip, &[layer.tar()])
        .tar()
}

/// Busybox in two layers, the upper one hiding some of the lower.
pub fn busybox_layers() -> Vec<Vec<u8>> {
    let busybox = std::fs::read("/bin/busybox").expect("NOT RUN: busybox-static is not installed");
    let lower = Layer::new()
        .dir("./", 0o711)
        .dir("bin/", 0o755)
        .program("bin/busybox", 0o755, &busybox)
        .symlink("bin/sh", "busybox")
        .file("gone/inside", b"1")
        .file("single", b"2")
        .file("veiled/old", b"3")
        .dir("replaced/", 0o755)
        .file("replaced/old", b"4")
        .dir("tmp/", 0o1777)
        .tar();
    let upper = Layer::new()
        .file(".wh.gone", b"")
        .file(".wh.single", b"")
        .file("veiled/new", b"5")
        .file("veiled/.wh..wh..opq", b"")
        .file(".wh.replaced", b"")
        .dir("replaced/", 0o700)
        .file("replaced/new", b"6")
        .tar();
    vec![lower, upper]
}
