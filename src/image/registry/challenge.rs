//! What a registry wants to see, by its `WWW-Authenticate` headers (RFC 9110, 11.6.1; RFC 6750, 3). Pure.

/// Longest header looked at; a proxy's own bound is about this.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// One way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A user and a password with each request (RFC 7617).
    Basic,
    /// A token from `realm` (distribution's token specification).
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// The best challenge that one header offers: a token rather than a password with every request.
pub fn parse(header: &str) -> Option<Challenge> {
    if header.len() > HEADER_BYTES_MAX {
        return None;
    }
    let mut best = None;
    for (scheme, parameters) in challenges(header) {
        let get = |name: &str| {
            parameters
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            if let Some(realm) = get("realm") {
                return Some(Challenge::Bearer {
                    realm,
                    service: get("service"),
                    scope: get("scope"),
                });
            }
        } else if scheme.eq_ignore_ascii_case("basic") {
            best = Some(Challenge::Basic);
        }
    }
    best
}

type Parameters = Vec<(String, String)>;

/// Schemes with their parameters. `Bearer realm="…",scope="a,b", Basic realm="x"`: a word without `=` begins a scheme.
fn challenges(text: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            // A stray `=` or the end.
            match rest.chars().next() {
                Some(stray) => rest = &rest[stray.len_utf8()..],
                None => return found,
            }
            continue;
        }
        let Some(value) = after.trim_start_matches([' ', '\t']).strip_prefix('=') else {
            found.push((word.to_owned(), Vec::new()));
            rest = after;
            continue;
        };
        let (value, after) = parameter_value(value.trim_start_matches([' ', '\t']));
        if let Some((_, parameters)) = found.last_mut() {
            parameters.push((word.to_owned(), value));
        }
        rest = after;
    }
}

/// A token or a quoted string, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_real_registries() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
                scope: scope.map(str::to_owned),
            })
        };
        for (header, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/busybox:pull""#,
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/busybox:pull"),
                ),
            ),
            (
                r#"bearer Realm = "https://a/t" , scope="repository:a:pull,push", error="invalid_token""#,
                bearer("https://a/t", None, Some("repository:a:pull,push")),
            ),
            (r#"Basic realm="Registry Realm""#, Some(Challenge::Basic)),
            (
                r#"Basic realm="a \"quoted\" one", Bearer realm=https://t"#,
                bearer("https://t", None, None),
            ),
            ("Negotiate, Basic", Some(Challenge::Basic)),
            ("Bearer", None),
            ("", None),
            ("= , =\"", None),
            ("Digest realm=\"never closed", None),
        ] {
            assert_eq!(parse(header), expected, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_or_refused(header in "\\PC{0,200}") {
            let _ = parse(&header);
        }
    }
}
