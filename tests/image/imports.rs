//! Importing archives, and what comes of them in a mount.

use crate::archives::{Form, Layer, Oci, arch, busybox_layers, compressed, one_layer};
use crate::store::{EXECUTABLE, Mounted, Store, Told, attribute, can_mount, has, names};
use coracle::image::ImageError;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::Command;

#[test]
fn whiteouts_and_opaque_directories_hide_in_a_real_mount_needs_root() {
    if !can_mount() {
        return;
    }
    for form in [Form::Plain, Form::Gzip, Form::Zstd] {
        let store = Store::new();
        let archive = Oci::default()
            .image(Some("busybox:1.36"), arch(), form, &busybox_layers())
            .tar();
        let told = Told::default();
        let images = store
            .images
            .import(&mut &archive[..], &|p| told.tell(p))
            .unwrap();
        assert_eq!(images[0].tags, ["docker.io/library/busybox:1.36"]);
        assert_eq!(images[0].config.user, "7:8");
        assert_eq!(told.layers(), (2, 0));
        let mounted = Mounted::new(&store, &images[0]);
        assert_eq!(
            names(&mounted.path("")),
            ["bin", "replaced", "tmp", "veiled"]
        );
        assert_eq!(names(&mounted.path("veiled")), ["new"]);
        assert_eq!(names(&mounted.path("replaced")), ["new"]);
        assert_eq!(
            mounted.path("tmp").metadata().unwrap().mode() & 0o7777,
            0o1777
        );
        let said = Command::new("chroot")
            .arg(mounted.path(""))
            .args(["/bin/sh", "-c", "echo hello; echo x > /tmp/x"])
            .output()
            .unwrap();
        assert_eq!(said.stdout, b"hello\n", "{said:?}");
        assert!(mounted.upper().join("tmp/x").is_file());
    }
}

#[test]
fn metadata_is_kept_needs_root() {
    if !can_mount() {
        return;
    }
    let store = Store::new();
    // Version 2 of vfs_cap_data: permitted CAP_NET_BIND_SERVICE, effective.
    let capability = "\u{1}\0\0\u{2}\0\u{4}\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let long = format!("long/{}", "n".repeat(150));
    let layer = Layer::new()
        .owned_by("su", 1000, b"x")
        .attribute("security.capability", capability)
        .owned_by("capable", 0, b"y")
        .attribute("user.note", "hi")
        .owned_by("noted", 0, b"z")
        .attribute("trusted.overlay.opaque", "y")
        .dir("honest/", 0o750)
        .hard_link("again", "su")
        .device("null")
        .fifo("pipe")
        .symlink("link", "/etc/anywhere")
        .owned_by(&long, 5, b"");
    let image = store.import(&one_layer("meta:1", layer)).unwrap().remove(0);
    let mounted = Mounted::new(&store, &image);
    let su = mounted.path("su").metadata().unwrap();
    assert_eq!(
        (su.uid(), su.gid(), su.mode() & 0o7777, su.mtime()),
        (1000, 1001, 0o4711, 1_234_567_890)
    );
    assert_eq!(mounted.path("again").metadata().unwrap().ino(), su.ino());
    assert!(
        mounted
            .path("null")
            .metadata()
            .unwrap()
            .file_type()
            .is_char_device()
    );
    assert!(
        mounted
            .path("pipe")
            .metadata()
            .unwrap()
            .file_type()
            .is_fifo()
    );
    assert_eq!(
        mounted.path("honest").metadata().unwrap().mtime(),
        1_000_000_000
    );
    assert_eq!(
        mounted.path("link").read_link().unwrap().to_str(),
        Some("/etc/anywhere")
    );
    assert!(mounted.path(&long).is_file());
    let layer = store
        .dir
        .path()
        .join("layers")
        .join(image.layers[0].strip_prefix("sha256:").unwrap());
    let tree = layer.join("fs");
    assert_eq!(
        attribute(&tree.join("capable"), c"security.capability"),
        Some(capability.as_bytes().to_vec())
    );
    assert_eq!(
        attribute(&tree.join("noted"), c"user.note"),
        Some(b"hi".to_vec())
    );
    assert_eq!(
        attribute(&tree.join("honest"), c"trusted.overlay.opaque"),
        None
    );
}

#[test]
fn a_docker_archive_gives_the_same_image() {
    if !has("skopeo") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (oci, docker) = (dir.path().join("oci.tar"), dir.path().join("docker.tar"));
    let archive = Oci::default()
        .image(Some("busybox:1.36"), arch(), Form::Gzip, &busybox_layers())
        .tar();
    std::fs::write(&oci, &archive).unwrap();
    let copied = Command::new("skopeo")
        .args(["copy", "--insecure-policy"])
        .arg(format!("oci-archive:{}", oci.display()))
        .arg(format!(
            "docker-archive:{}:localhost/bb:2",
            docker.display()
        ))
        .output()
        .unwrap();
    assert!(copied.status.success(), "{copied:?}");
    let bytes = std::fs::read(&docker).unwrap();

    let store = Store::new();
    let from_docker = store
        .import(&compressed(Form::Gzip, &bytes))
        .unwrap()
        .remove(0);
    assert_eq!(from_docker.tags, ["localhost/bb:2"]);
    let told = Told::default();
    let from_oci = store
        .images
        .import(&mut &archive[..], &|p| told.tell(p))
        .unwrap()
        .remove(0);
    assert_eq!(from_docker.layers, from_oci.layers);
    assert_eq!(
        told.layers(),
        (0, 2),
        "layers that are there are not unpacked again"
    );

    for cut in [100, bytes.len() / 3, bytes.len() * 2 / 3] {
        let store = Store::new();
        let error = store.import(&bytes[..cut]).unwrap_err();
        assert!(matches!(error, ImageError::Archive { .. }), "{error}");
        assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    }
}

#[test]
fn damaged_archives_are_refused_and_leave_nothing() {
    let store = Store::new();
    let whole = Oci::default().image(Some("a:1"), arch(), Form::Gzip, &busybox_layers());
    for (index, (name, bytes)) in whole.members.iter().enumerate() {
        let mut oci = Oci::default().image(Some("a:1"), arch(), Form::Gzip, &busybox_layers());
        let middle = bytes.len() / 2;
        oci.members[index].1[middle] ^= 0x20;
        let error = store.import(&oci.tar()).unwrap_err();
        match &error {
            ImageError::DigestMismatch {
                expected, found, ..
            } => assert_ne!(expected, found),
            other => panic!("{name}: {other}"),
        }
        assert!(
            error.to_string().contains("expected digest sha256:"),
            "{error}"
        );
        assert!(
            store.leftovers().is_empty(),
            "{name}: {:?}",
            store.leftovers()
        );
    }
    let tar = whole.tar();
    for bytes in [
        &tar[..tar.len() / 2],
        &tar[..512],
        &b"no archive at all"[..],
        &b""[..],
        &compressed(Form::Gzip, &tar)[..1000],
    ] {
        let error = store.import(bytes).unwrap_err();
        assert!(matches!(error, ImageError::Archive { .. }), "{error}");
        assert!(store.leftovers().is_empty());
    }
    let unnamed = Oci::default()
        .image(None, arch(), Form::Plain, &[Layer::new().tar()])
        .tar();
    assert!(matches!(store.import(&unnamed), Err(ImageError::Unnamed)));
    let foreign = Oci::default()
        .image(Some("a:1"), "s390x", Form::Plain, &[Layer::new().tar()])
        .tar();
    let error = store.import(&foreign).unwrap_err().to_string();
    assert!(error.contains("linux/s390x"), "{error}");
}

#[test]
fn hostile_layers_are_refused_and_touch_nothing_outside() {
    let canary = tempfile::tempdir().unwrap();
    let outside = canary.path().join("outside");
    let store = Store::new();
    let up = format!(
        "{}{}",
        "../".repeat(20),
        outside.strip_prefix("/").unwrap().display()
    );
    let target = canary.path().to_str().unwrap();
    for (what, layer) in [
        ("dots", Layer::new().file(&up, b"x")),
        ("dots inside", Layer::new().file("a/../../b", b"x")),
        (
            "through an absolute link",
            Layer::new().symlink("l", target).file("l/outside", b"x"),
        ),
        (
            "hard link with dots",
            Layer::new().hard_link("h", "../../../../etc/passwd"),
        ),
        (
            "hard link to the host",
            Layer::new().hard_link("h", "/etc/passwd"),
        ),
        (
            "hard link through a link",
            Layer::new().symlink("l", "/etc").hard_link("h", "l/passwd"),
        ),
        (
            "hard link to a directory",
            Layer::new().dir("d/", 0o755).hard_link("h", "d"),
        ),
        ("root as a file", Layer::new().file("./", b"x")),
        ("whiteout with dots", Layer::new().file("a/../.wh.b", b"")),
    ] {
        let error = store.import(&one_layer("evil:1", layer)).expect_err(what);
        assert!(matches!(error, ImageError::Layer { .. }), "{what}: {error}");
        assert!(!outside.exists(), "{what}");
        assert!(store.leftovers().is_empty(), "{what}");
    }
    // Overwriting a link replaces the link and not its target.
    let layer = Layer::new()
        .symlink("l", outside.to_str().unwrap())
        .file("l", b"x");
    store.import(&one_layer("fine:1", layer)).unwrap();
    assert!(!outside.exists());
}

#[test]
fn names_move_images_go_with_the_last_and_shared_layers_stay() {
    let mut store = Store::new();
    let shared = Layer::new().file("shared", b"1").tar();
    let image = |store: &Store, name: &str, own: &[u8]| {
        let layers = [shared.clone(), Layer::new().file("own", own).tar()];
        store
            .import(
                &Oci::default()
                    .image(Some(name), arch(), Form::Gzip, &layers)
                    .tar(),
            )
            .unwrap()
            .remove(0)
    };
    let first = image(&store, "a:1", b"first");
    let second = image(&store, "b:1", b"second");
    image(&store, "a:2", b"first");
    assert_eq!(store.leftovers().len(), 3);
    let unused = |_: &str| false;
    store.images.remove("a:2", &unused).unwrap();
    assert_eq!(
        store.images.find(&first.id).unwrap().unwrap().tags,
        ["docker.io/library/a:1"]
    );
    let error = store
        .images
        .remove("a:1", &|id| id == first.id)
        .unwrap_err();
    assert!(matches!(error, ImageError::InUse { .. }), "{error}");
    store.images.remove("a:1", &unused).unwrap();
    assert_eq!(store.leftovers().len(), 2);
    assert!(store.images.find("a:1").unwrap().is_none());
    assert!(matches!(
        store.images.remove("a:1", &unused),
        Err(ImageError::Absent { .. })
    ));
    store.reopen();
    assert_eq!(store.images.find("b:1").unwrap().unwrap().id, second.id);
    store.images.remove(&second.id, &unused).unwrap();
    assert!(store.leftovers().is_empty());
}

#[test]
fn this_machines_image_is_chosen_of_several() {
    let store = Store::new();
    let layer = |text: &[u8]| vec![Layer::new().file("which", text).tar()];
    let archive = Oci::default()
        .image(Some("multi:1"), "s390x", Form::Gzip, &layer(b"other"))
        .image(Some("multi:1"), arch(), Form::Gzip, &layer(b"ours"))
        .tar();
    let images = store.import(&archive).unwrap();
    assert_eq!(images.len(), 1);
    let dir = tempfile::tempdir().unwrap();
    let rootfs = store.images.root_fs(&images[0], dir.path()).unwrap();
    assert_eq!(
        std::fs::read(rootfs.lower[0].join("which")).unwrap(),
        b"ours"
    );
}

#[test]
fn opening_removes_what_a_power_cut_left_and_keeps_the_built_in_image() {
    let mut store = Store::new();
    store
        .import(&one_layer("a:1", Layer::new().file("x", b"1")))
        .unwrap();
    let record = store.dir.path().join("names.json");
    let before = record.metadata().unwrap();
    let half = store.dir.path().join("tmp/1-1/fs");
    std::fs::create_dir_all(&half).unwrap();
    std::fs::write(half.join("half"), b"").unwrap();
    let orphan = store.dir.path().join("layers").join("0".repeat(64));
    std::fs::create_dir_all(orphan.join("fs")).unwrap();
    store.reopen();
    assert!(names(&store.dir.path().join("tmp")).is_empty());
    assert!(!orphan.exists());
    let after = record.metadata().unwrap();
    assert_eq!(
        (before.ino(), before.mtime_nsec()),
        (after.ino(), after.mtime_nsec()),
        "nothing rewritten"
    );
    assert!(store.images.find("a:1").unwrap().is_some());

    let hello = store.images.find("coracle.local/hello").unwrap().unwrap();
    assert_eq!(hello.config.entrypoint, ["/coracle", "hello"]);
    let dir = tempfile::tempdir().unwrap();
    let rootfs = store.images.root_fs(&hello, dir.path()).unwrap();
    let ours = std::fs::read(rootfs.lower[0].join("coracle")).unwrap();
    assert!(ours == std::fs::read(EXECUTABLE).unwrap());
    assert!(rootfs.lower[0].join("etc/passwd").is_file());
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing_needs_root() {
    if !can_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::on_small_disk(dir, 8);
    // Compresses well: the archive fits, the layer does not.
    let layer = Layer::new().file("large", &vec![7; 32 << 20]);
    let error = store.import(&one_layer("large:1", layer)).unwrap_err();
    assert!(matches!(error, ImageError::DiskFull { .. }), "{error}");
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    // Does not even fit as it came.
    let archive = Oci::default()
        .image(
            Some("large:1"),
            arch(),
            Form::Plain,
            &[Layer::new().file("large", &vec![7; 32 << 20]).tar()],
        )
        .tar();
    let error = store.import(&archive).unwrap_err();
    assert!(matches!(error, ImageError::DiskFull { .. }), "{error}");
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    store
        .import(&one_layer("small:1", Layer::new().file("x", b"1")))
        .unwrap();
}

#[test]
fn the_built_in_image_follows_its_binary() {
    let dir = tempfile::tempdir().unwrap();
    let executable = dir.path().join("coracle");
    let open = |content: &[u8]| {
        std::fs::remove_file(&executable).ok();
        std::fs::write(&executable, content).unwrap();
        let images = coracle::image::Images::open(
            &dir.path().join("store"),
            &coracle::profile::ImageProfile::default(),
            &executable,
            coracle::image::ConfigFiles::default(),
        )
        .unwrap();
        let hello = images.find("coracle.local/hello:latest").unwrap().unwrap();
        (hello.id, images.list().len())
    };
    let first = open(b"one");
    let second = open(b"two");
    let third = open(b"three");
    assert_eq!(
        (first.1, second.1, third.1),
        (1, 2, 2),
        "one generation before is kept"
    );
    assert!(first.0 != second.0 && second.0 != third.0);
}

#[test]
fn many_layers_and_repeated_ones_fit_one_mount_needs_root() {
    if !can_mount() {
        return;
    }
    let store = Store::new();
    let mut layers: Vec<Vec<u8>> = (0..115)
        .map(|number| {
            let own = number.to_string();
            Layer::new()
                .file(&format!("only-{number}"), b"")
                .file("last", own.as_bytes())
                .tar()
        })
        .collect();
    layers.push(layers[3].clone());
    let archive = Oci::default()
        .image(Some("many:1"), arch(), Form::Gzip, &layers)
        .tar();
    let image = store.import(&archive).unwrap().remove(0);
    let mounted = Mounted::new(&store, &image);
    assert_eq!(names(&mounted.path("")).len(), 116);
    assert_eq!(std::fs::read(mounted.path("last")).unwrap(), b"3");
}

#[test]
fn endless_names_and_too_many_layers_are_refused() {
    let store = Store::new();
    let layer = Layer::new()
        .attribute("user.huge", &"x".repeat(2 << 20))
        .file("x", b"1");
    let error = store.import(&one_layer("huge:1", layer)).unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
    let layers: Vec<Vec<u8>> = (0..200)
        .map(|number| Layer::new().file(&number.to_string(), b"").tar())
        .collect();
    let archive = Oci::default()
        .image(Some("many:1"), arch(), Form::Plain, &layers)
        .tar();
    let error = store.import(&archive).unwrap_err();
    assert!(matches!(error, ImageError::Limit { .. }), "{error}");
    assert!(store.leftovers().is_empty());
}
