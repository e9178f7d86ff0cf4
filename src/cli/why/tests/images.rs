//! Images that cannot be had.

use super::*;

pub fn situations() -> Vec<Situation> {
    let mut secret = waiting("ErrImagePull", "r.io refuses to give it: unauthorized");
    secret["spec"]["imagePullSecrets"] = json!([{"name": "login"}]);
    vec![
        (
            "absent image",
            facts(waiting(
                "ImagePullBackOff",
                "Back-off pulling image: r.io/a/app:1 not found: manifest unknown to the registry",
            )),
            &[
                "has no a/app with the tag or digest 1",
                "coracle -n shop set image pod/web app=<image>",
            ],
        ),
        (
            "absent image by event",
            with_events(
                waiting("ImagePullBackOff", "Back-off pulling image"),
                &[(
                    "Failed",
                    "Failed to pull image \"r.io/a/app:1\": manifest unknown",
                )],
            ),
            &["with the tag or digest 1"],
        ),
        (
            "credentials lack",
            facts(waiting("ErrImagePull", "unauthorized")),
            &["names no image pull secret", "docker-registry"],
        ),
        (
            "credentials missing",
            found(secret.clone(), Kind::PullSecret, &Lookup::Missing),
            &[
                "image pull secret \"login\" does not exist",
                "docker-registry login",
            ],
        ),
        (
            "credentials wrong",
            found(secret, Kind::PullSecret, &Lookup::There(json!({}))),
            &["does not accept the credentials", "login"],
        ),
        (
            "no network",
            facts(waiting(
                "ImagePullBackOff",
                "registry r.io cannot be reached: dns error",
            )),
            &["cannot reach registry r.io", "coracle image import"],
        ),
        (
            "wrong platform",
            facts(waiting(
                "ErrImagePull",
                "r.io/a/app:1 is not made for this machine (linux/arm64); it offers: linux/amd64",
            )),
            &["not built for this node's processor"],
        ),
        (
            "no room for the image",
            facts(waiting("ErrImagePull", "no space left on the disk of /var")),
            &["no room", "coracle image rm"],
        ),
        (
            "never pulled",
            facts(waiting("ErrImageNeverPull", "")),
            &["imagePullPolicy: Never", "coracle image pull r.io/a/app:1"],
        ),
        (
            "invalid name",
            facts(waiting("InvalidImageName", "couldn't parse")),
            &["names an image that cannot be one"],
        ),
        (
            "pull under way",
            with_events(
                waiting("ContainerCreating", ""),
                &[("Pulling", "Pulling image")],
            ),
            &["is being pulled, for 10s so far"],
        ),
    ]
}
