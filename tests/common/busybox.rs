//! An image made from Debian's `busybox-static`, so that no test needs a network.

#![allow(dead_code, clippy::unwrap_used)]

use sha2::{Digest, Sha256};
use std::path::Path;

/// Name the image is imported under.
pub const IMAGE: &str = "test.local/busybox:1";

/// The commands the tests use; busybox takes its part from the name it is called by.
const APPLETS: &[&str] = &[
    "sh",
    "sleep",
    "echo",
    "cat",
    "true",
    "false",
    "wget",
    "httpd",
    "id",
    "hostname",
    "ls",
    "ps",
    "env",
    "kill",
    "seq",
    "date",
    "head",
    "tail",
    "dd",
    "stty",
    "nc",
    "ip",
    "mkdir",
    "touch",
    "rm",
    "yes",
    "tr",
    "printf",
    "test",
    "wc",
    "grep",
    "awk",
    "tar",
    "stat",
    "find",
    "readlink",
    "ln",
    "chmod",
    "sha256sum",
    "cp",
    "mkfifo",
    "tee",
];

/// Writes a docker archive (`docker save` form) with the image to `path`.
pub fn write_archive(path: &Path) {
    write_archive_with(path, "the usual one");
}

/// The same with `mark` in `/etc/mark`, and so with a layer of its own.
pub fn write_archive_with(path: &Path, mark: &str) {
    write_archive_of(path, mark, 0);
}

/// The same with a file of `ballast_bytes` besides.
pub fn write_archive_of(path: &Path, mark: &str, ballast_bytes: usize) {
    write_archive_named(path, IMAGE, mark, ballast_bytes);
}

/// The same under another name.
pub fn write_archive_named(path: &Path, name: &str, mark: &str, ballast_bytes: usize) {
    let layer = layer(mark, ballast_bytes);
    let diff_id = format!("sha256:{}", hex(&layer));
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "Env": ["PATH=/bin", "FROM_IMAGE=yes"],
            "Cmd": ["/bin/sh", "-c", "echo started by the image; exec sleep 3600"],
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    })
    .to_string()
    .into_bytes();
    let config_name = format!("{}.json", hex(&config));
    let manifest = serde_json::json!([{
        "Config": config_name,
        "RepoTags": [name],
        "Layers": ["layer.tar"],
    }])
    .to_string()
    .into_bytes();

    let mut archive = tar::Builder::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in [
        (config_name.as_str(), &config),
        ("layer.tar", &layer),
        ("manifest.json", &manifest),
    ] {
        append(&mut archive, name, 0o644, bytes);
    }
    archive.finish().unwrap();
}

fn layer(mark: &str, ballast_bytes: usize) -> Vec<u8> {
    let busybox =
        std::fs::read("/bin/busybox").expect("Debian's package busybox-static is installed");
    let mut layer = tar::Builder::new(Vec::new());
    for directory in ["bin/", "tmp/", "etc/", "root/"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(if directory == "tmp/" { 0o1777 } else { 0o755 });
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        layer
            .append_data(&mut header, directory, std::io::empty())
            .unwrap();
    }
    append(&mut layer, "bin/busybox", 0o755, &busybox);
    for applet in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        layer
            .append_link(&mut header, format!("bin/{applet}"), "busybox")
            .unwrap();
    }
    append(
        &mut layer,
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nsailor:x:1000:1000::/:/bin/sh\n",
    );
    append(&mut layer, "etc/mark", 0o644, mark.as_bytes());
    if ballast_bytes > 0 {
        append(&mut layer, "ballast", 0o644, &vec![b'b'; ballast_bytes]);
    }
    append(
        &mut layer,
        "etc/group",
        0o644,
        b"root:x:0:\nsailor:x:1000:\ncrew:x:3000:sailor\n",
    );
    layer.into_inner().unwrap()
}

fn append(archive: &mut tar::Builder<impl std::io::Write>, name: &str, mode: u32, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_mtime(1_700_000_000);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, name, bytes).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
