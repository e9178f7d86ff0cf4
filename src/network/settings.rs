//! Kernel settings the pod network needs, and their giving back.

use super::NetworkError;
use std::fs;
use std::path::Path;

/// Forwarding between bridge and uplink; per network namespace, so `/proc/sys` answers for ours.
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
/// Beside the leases: like the setting it remembers, it is gone after a reboot.
const RECORD: &str = "previous-ip_forward";

/// Turns IPv4 forwarding on; the first call remembers what it was.
pub fn enable_forwarding(dir: &Path) -> Result<(), NetworkError> {
    let before = read(Path::new(IP_FORWARD))?;
    if before == "1" {
        return Ok(());
    }
    let record = dir.join(RECORD);
    if !record.exists() {
        write(&record, &before)?;
    }
    write(Path::new(IP_FORWARD), "1")
}

/// Gives forwarding its former value, if this node changed it.
pub fn restore_forwarding(dir: &Path) -> Result<(), NetworkError> {
    let record = dir.join(RECORD);
    if !record.exists() {
        return Ok(());
    }
    let before = read(&record)?;
    // Whatever stands in the file, only a value the kernel knows goes back to it.
    if before == "0" {
        write(Path::new(IP_FORWARD), &before)?;
    }
    fs::remove_file(&record).map_err(|cause| NetworkError::Setting {
        path: record,
        cause,
    })
}

fn read(path: &Path) -> Result<String, NetworkError> {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|cause| NetworkError::Setting {
            path: path.to_owned(),
            cause,
        })
}

fn write(path: &Path, value: &str) -> Result<(), NetworkError> {
    fs::write(path, value).map_err(|cause| NetworkError::Setting {
        path: path.to_owned(),
        cause,
    })
}
