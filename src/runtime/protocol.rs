//! Messages between the node process and a shim: `u32` length (little endian), then postcard.

use super::types::{
    AttachSpec, ContainerSpec, ContainerStatus, ExecSpec, Exit, RunId, SandboxSpec,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Largest message: a container's description with its environment (Kubernetes objects end at 1.5 MiB).
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Width of the length in front of every message.
pub const LENGTH_BYTES: usize = 4;

/// File in a pod's run directory that a shim starts from and an orderly removal starts from.
pub const CONFIG_FILE: &str = "shim.config";
pub const SOCKET_FILE: &str = "shim.sock";
pub const PID_FILE: &str = "shim.pid";

/// What a shim needs to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShimConfig {
    pub spec: SandboxSpec,
    pub cgroup_root: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ToShim {
    pub id: u64,
    pub request: Request,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    State,
    Start {
        id: String,
        spec: Box<ContainerSpec>,
    },
    Kill {
        run: RunId,
        signal: i32,
    },
    Remove {
        run: RunId,
    },
    /// Comes with the process's three streams as ancillary data.
    Exec {
        container: String,
        spec: ExecSpec,
    },
    Shutdown,
    /// What this connection starts with `Exec` dies with it. There is no answer.
    Tether,
    /// Comes with three streams as ancillary data; the connection then belongs to this client.
    Attach {
        container: String,
        streams: AttachSpec,
    },
    /// The size of the terminal that this connection is attached to. No answer.
    Resize {
        columns: u16,
        rows: u16,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub enum FromShim {
    Reply {
        id: u64,
        response: Response,
    },
    ContainerExited {
        run: RunId,
        exit: Exit,
    },
    ExecExited {
        code: i32,
    },
    /// The end of an attached client's time: the container's end, or the reason.
    Detached {
        reason: Option<String>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Response {
    State {
        spec: SandboxSpec,
        pid: i32,
        containers: Vec<ContainerStatus>,
    },
    Started(ContainerStatus),
    Done,
    NotRunning,
    Failed(String),
}

/// Length and message in one buffer.
pub fn frame<T: Serialize>(message: &T) -> Result<Vec<u8>, String> {
    let body = postcard::to_stdvec(message).map_err(|e| format!("encoding a shim message: {e}"))?;
    if body.len() > MESSAGE_BYTES_MAX {
        return Err(format!(
            "a message of {} bytes for a shim is over the limit of {MESSAGE_BYTES_MAX}",
            body.len()
        ));
    }
    let mut framed = Vec::with_capacity(LENGTH_BYTES + body.len());
    framed.extend_from_slice(&(body.len() as u32).to_le_bytes());
    framed.extend_from_slice(&body);
    Ok(framed)
}

/// Takes the first whole message off `buffer`.
pub fn take<T: DeserializeOwned>(buffer: &mut Vec<u8>) -> Result<Option<T>, String> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(format!("a shim message claims {length} bytes"));
    }
    let Some(body) = buffer.get(LENGTH_BYTES..LENGTH_BYTES + length) else {
        return Ok(None);
    };
    let message =
        postcard::from_bytes(body).map_err(|e| format!("decoding a shim message: {e}"))?;
    buffer.drain(..LENGTH_BYTES + length);
    if buffer.is_empty() {
        buffer.shrink_to_fit();
    }
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn messages_come_out_whole_and_in_order() {
        let mut wire = frame(&7u32).unwrap();
        wire.extend(frame(&9u32).unwrap());
        let mut buffer = Vec::new();
        let mut seen = Vec::new();
        for byte in wire {
            buffer.push(byte);
            while let Some(number) = take::<u32>(&mut buffer).unwrap() {
                seen.push(number);
            }
        }
        assert_eq!(seen, [7, 9]);
    }

    #[test]
    fn a_length_over_the_limit_is_refused() {
        let mut buffer = u32::MAX.to_le_bytes().to_vec();
        assert!(take::<u32>(&mut buffer).is_err());
    }
}
