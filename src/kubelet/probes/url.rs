//! URLs of HTTP probes, and where a redirect leads. Pure, and safe to call with anything.
//! RFC 3986, section 5.2.

use super::answer::join_host_port;
use std::fmt::{self, Write as _};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub is_https: bool,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// Path and query, ready to be sent.
    pub target: String,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

impl Url {
    /// As in `Host`.
    pub fn authority(&self) -> String {
        join_host_port(&self.host, self.port)
    }

    /// Where `location` leads from here. The error says what is wrong with it.
    pub fn join(&self, location: &str) -> Result<Url, String> {
        let broken = || format!("failed to parse Location header {location:?}");
        if location.bytes().any(|b| b.is_ascii_control()) {
            return Err(broken());
        }
        let (scheme, rest) = match scheme_end(location) {
            Some(at) => (Some(&location[..at]), &location[at + 1..]),
            None => (None, location),
        };
        let is_https = match scheme.map(str::to_ascii_lowercase).as_deref() {
            None => self.is_https,
            Some("http") => false,
            Some("https") => true,
            Some(other) => return Err(format!("unsupported protocol scheme {other:?}")),
        };
        if let Some(rest) = rest.strip_prefix("//") {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (host, port) = host_and_port(&rest[..end]).ok_or_else(broken)?;
            return Ok(Url {
                is_https,
                host: host.to_string(),
                port: port.unwrap_or(if is_https { 443 } else { 80 }),
                target: request_target(&without_dots(&rest[end..])),
            });
        }
        if scheme.is_some() {
            return Err(broken());
        }
        let own_path = self.target.split('?').next().unwrap_or("/");
        let target = match rest.chars().next() {
            None | Some('#') => self.target.clone(),
            Some('/') => without_dots(rest),
            Some('?') => format!("{own_path}{rest}"),
            Some(_) => {
                let directory = own_path.rfind('/').map_or("/", |at| &own_path[..=at]);
                without_dots(&format!("{directory}{rest}"))
            }
        };
        Ok(Url {
            target: request_target(&target),
            ..self.clone()
        })
    }
}

/// The end of a scheme in front of `text`.
fn scheme_end(text: &str) -> Option<usize> {
    let at = text.find(':')?;
    let scheme = &text.as_bytes()[..at];
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    is_scheme.then_some(at)
}

fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let authority = authority.rsplit('@').next()?;
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        (host, port)
    } else {
        let at = authority.find(':').unwrap_or(authority.len());
        authority.split_at(at)
    };
    if host.is_empty() {
        return None;
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        Some("") => Some((host, None)),
        Some(port) => Some((host, Some(port.parse().ok()?))),
        None => None,
    }
}

/// Takes `.` and `..` out of the path; what follows it stays.
fn without_dots(text: &str) -> String {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let (path, rest) = text.split_at(end);
    let mut kept: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        match part {
            "." | ".." => {
                if part == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            part => kept.push(part),
        }
    }
    format!("/{}{rest}", kept.join("/"))
}

/// Path and query of a probe as they go over the wire: a whole URL loses scheme and authority, a fragment is left out,
/// what may not stand in a request is escaped.
pub fn request_target(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let path = match scheme_end(path).and_then(|at| path[at + 1..].strip_prefix("//")) {
        Some(rest) => &rest[rest.find(['/', '?']).unwrap_or(rest.len())..],
        None => path,
    };
    let mut target = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        target.push('/');
    }
    let bytes = path.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let escaped = || {
            bytes.len() > at + 2
                && bytes[at + 1].is_ascii_hexdigit()
                && bytes[at + 2].is_ascii_hexdigit()
        };
        let stays = match byte {
            b'%' => escaped(),
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
            byte => byte.is_ascii_graphic(),
        };
        if stays {
            target.push(char::from(*byte));
        } else {
            let _ = write!(target, "%{byte:02X}");
        }
    }
    target
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn base() -> Url {
        Url {
            is_https: false,
            host: "10.0.0.1".into(),
            port: 8080,
            target: "/a/b?x=1".into(),
        }
    }

    #[test]
    fn targets() {
        for (path, expected) in [
            ("/healthz", "/healthz"),
            ("", "/"),
            ("healthz", "/healthz"),
            ("?a=b", "/?a=b"),
            ("/a b%20c%zz", "/a%20b%20c%25zz"),
            ("/ä#top", "/%C3%A4"),
            ("http://other:1/x?y", "/x?y"),
            ("http://other", "/"),
        ] {
            assert_eq!(request_target(path), expected, "{path}");
        }
    }

    #[test]
    fn redirects() {
        for (location, expected) in [
            ("/c", "http://10.0.0.1:8080/c"),
            ("c?d", "http://10.0.0.1:8080/a/c?d"),
            ("../../c/./d/..", "http://10.0.0.1:8080/c/"),
            ("?q", "http://10.0.0.1:8080/a/b?q"),
            ("", "http://10.0.0.1:8080/a/b?x=1"),
            ("https://10.0.0.1/s", "https://10.0.0.1:443/s"),
            ("//example.org/s", "http://example.org:80/s"),
            ("http://[fd00::1]:81", "http://[fd00::1]:81/"),
            ("HTTP://u:p@h:1/", "http://h:1/"),
        ] {
            assert_eq!(
                base().join(location).unwrap().to_string(),
                expected,
                "{location}"
            );
        }
        for broken in [
            "ftp://a/",
            "mailto:a",
            "http://",
            "http://a:99999/",
            "/a\nb",
        ] {
            assert!(base().join(broken).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_makes_a_sendable_target(text in "\\PC*") {
            let target = request_target(&text);
            prop_assert!(target.starts_with('/') && target.bytes().all(|b| b.is_ascii_graphic()));
            if let Ok(url) = base().join(&text) {
                prop_assert!(url.target.starts_with('/'));
            }
        }
    }
}
