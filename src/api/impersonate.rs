//! Acting as somebody else (`kubectl --as`), by who may.
//! <https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/>

use super::rbac::rules::{Attributes, Resource};
use super::status::{ApiError, ApiResult};
use super::{AUTHENTICATED, Api, User};
use http::HeaderMap;
use percent_encoding::percent_decode_str;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

const ACCOUNT: &str = "system:serviceaccount:";
const ANONYMOUS: &str = "system:anonymous";

impl Api {
    /// The user the request is to be answered as: `user`, or whom the headers name if `user` may be them.
    pub(super) fn impersonate(
        &self,
        user: Option<User>,
        headers: &HeaderMap,
    ) -> ApiResult<Option<User>> {
        let Some(wanted) = wanted(headers)? else {
            return Ok(user);
        };
        for asked in rights(&wanted) {
            self.authorize(user.as_ref(), &asked)?;
        }
        Ok(Some(completed(wanted)))
    }
}

/// Whom the headers name; `None`: they name nobody.
fn wanted(headers: &HeaderMap) -> ApiResult<Option<User>> {
    let mut wanted = User::default();
    let mut any = false;
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("impersonate-") {
            continue;
        }
        any = true;
        let value = value.to_str().map_err(|_| {
            ApiError::bad_request(format!("header {name}: only ASCII text can name a user"))
        })?;
        match name {
            USER => value.clone_into(&mut wanted.name),
            UID => value.clone_into(&mut wanted.uid),
            GROUP => wanted.groups.push(value.to_owned()),
            // Passed over, it would lend the caller's own rights to whom it means.
            _ => match name.strip_prefix(EXTRA) {
                Some(key) => {
                    let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
                    let values = wanted.extra.entry(key).or_default();
                    values.push(value.to_owned());
                }
                None => {
                    return Err(ApiError::bad_request(format!(
                        "header {name} is not known: use Impersonate-User, -Group, -Uid or -Extra-<key>"
                    )));
                }
            },
        }
    }
    if any && wanted.name.is_empty() {
        return Err(ApiError::bad_request(
            "requested impersonation without impersonating a user: send Impersonate-User too",
        ));
    }
    Ok(any.then_some(wanted))
}

/// What must be allowed to be `user`.
fn rights(user: &User) -> Vec<Attributes> {
    let right = |group: &str, namespace: &str, resource: &str, part: &str, name: &str| Attributes {
        verb: "impersonate".to_owned(),
        resource: Some(Resource {
            group: group.to_owned(),
            namespace: namespace.to_owned(),
            resource: resource.to_owned(),
            subresource: part.to_owned(),
            name: name.to_owned(),
        }),
        path: String::new(),
    };
    const IDENTITY: &str = "authentication.k8s.io";
    let mut rights = vec![match account(&user.name) {
        Some((namespace, name)) => right("", namespace, "serviceaccounts", "", name),
        None => right("", "", "users", "", &user.name),
    }];
    rights.extend(
        user.groups
            .iter()
            .map(|group| right("", "", "groups", "", group)),
    );
    if !user.uid.is_empty() {
        rights.push(right(IDENTITY, "", "uids", "", &user.uid));
    }
    for (key, values) in &user.extra {
        rights.extend(
            values
                .iter()
                .map(|value| right(IDENTITY, "", "userextras", key, value)),
        );
    }
    rights
}

/// The groups that go without saying.
fn completed(mut user: User) -> User {
    if user.groups.is_empty()
        && let Some((namespace, _)) = account(&user.name)
    {
        user.groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ];
    }
    let implied = if user.name == ANONYMOUS {
        "system:unauthenticated"
    } else {
        AUTHENTICATED
    };
    if !user.groups.iter().any(|group| group == implied) {
        user.groups.push(implied.to_owned());
    }
    user
}

fn account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix(ACCOUNT)?.split_once(':')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn headers_name_a_user_and_what_being_it_takes() {
        assert_eq!(wanted(&headers(&[("accept", "x")])).unwrap(), None);
        assert!(wanted(&headers(&[(GROUP, "g")])).is_err());
        assert!(wanted(&headers(&[(USER, "jo"), ("impersonate-other", "x")])).is_err());
        let user = wanted(&headers(&[
            (USER, "jo"),
            (GROUP, "a"),
            (GROUP, "b"),
            (UID, "7"),
            ("impersonate-extra-example.org%2fx", "1"),
        ]))
        .unwrap()
        .unwrap();
        let asked: Vec<String> = rights(&user)
            .into_iter()
            .filter_map(|right| right.resource)
            .map(|one| format!("{}:{}={}", one.group, one.combined(), one.name))
            .collect();
        assert_eq!(
            asked,
            [
                ":users=jo",
                ":groups=a",
                ":groups=b",
                "authentication.k8s.io:uids=7",
                "authentication.k8s.io:userextras/example.org/x=1"
            ]
        );
        assert_eq!(completed(user).groups, ["a", "b", AUTHENTICATED]);
    }

    #[test]
    fn accounts_get_their_groups() {
        let user = wanted(&headers(&[(USER, "system:serviceaccount:ns:sa")]))
            .unwrap()
            .unwrap();
        let right = rights(&user).remove(0).resource.unwrap();
        assert_eq!(
            (&*right.namespace, &*right.resource, &*right.name),
            ("ns", "serviceaccounts", "sa")
        );
        assert_eq!(
            completed(user).groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:ns",
                AUTHENTICATED
            ]
        );
    }
}
