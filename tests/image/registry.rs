//! Debian's `docker-registry` on a loopback port, its data in a temporary directory.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// `tester` with the password `secret`, made with `htpasswd -nbB`.
const HTPASSWD: &str = "tester:$2y$05$PTDQVH1sGtA3co0vMXKvCub2PTXiVJQviDid4w2OQdOLu9j7XShuG\n";
pub const PASSWORD: &str = "secret";

pub struct Registry {
    child: Child,
    pub port: u16,
    dir: tempfile::TempDir,
    with_password: bool,
}

impl Registry {
    pub fn start(with_password: bool) -> Registry {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            dir.path().join("data").display()
        );
        if with_password {
            let path = dir.path().join("htpasswd");
            std::fs::write(&path, HTPASSWD).unwrap();
            config.push_str(&format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                path.display()
            ));
        }
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Registry {
            child,
            port,
            dir,
            with_password,
        };
        // Until it listens; a registry that never does fails here.
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return registry;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the registry does not listen: {}", registry.log());
    }

    /// A full name in this registry.
    pub fn name(&self, rest: &str) -> String {
        format!("127.0.0.1:{}/{rest}", self.port)
    }

    pub fn push(&self, archive: &[u8], rest: &str, more: &[&str]) {
        let file = self.dir.path().join("push.tar");
        std::fs::write(&file, archive).unwrap();
        let mut command = Command::new("skopeo");
        command
            .args(["copy", "--insecure-policy", "--dest-tls-verify=false"])
            .args(more);
        if self.with_password {
            command.arg(format!("--dest-creds=tester:{PASSWORD}"));
        }
        let output = command
            .arg(format!("oci-archive:{}", file.display()))
            .arg(format!("docker://{}", self.name(rest)))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// How often blobs were read from it so far.
    pub fn blobs_served(&self) -> usize {
        self.log()
            .lines()
            .filter(|line| line.contains("\"GET /v2/") && line.contains("/blobs/"))
            .count()
    }

    /// Where it keeps a blob.
    pub fn blob_file(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        Path::new(self.dir.path())
            .join("data/docker/registry/v2/blobs/sha256")
            .join(&hex[..2])
            .join(hex)
            .join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
