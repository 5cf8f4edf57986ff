//! The context and the base of the set: what is copied, and what it is copied onto.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// Writes the context.
pub fn make(at: &Path) {
    let file = |path: &str, content: &str, permissions: u32| {
        let path = at.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(permissions)).expect("permissions");
    };
    file("a.txt", "a\n", 0o644);
    file("b.txt", "b\n", 0o664);
    file("exec.sh", "#!/bin/sh\necho hello\n", 0o755);
    file("private", "", 0o600);
    file("with space", "blanks\n", 0o644);
    file("dir/one", "1", 0o644);
    file("dir/two", "2", 0o400);
    file("dir/sub/three", "3", 0o644);
    file("dir/hard1", "the same\n", 0o644);
    file("deep/x/y/z", "deep\n", 0o644);
    file("deep/xx", "xx\n", 0o644);
    fs::hard_link(at.join("dir/hard1"), at.join("dir/hard2")).expect("a link");
    symlink("one", at.join("dir/link")).expect("a symlink");
    symlink("/nowhere", at.join("dir/broken")).expect("a symlink");
    fs::create_dir(at.join("empty")).expect("a directory");
    for (path, permissions) in [("dir", 0o755), ("dir/sub", 0o750), ("empty", 0o700)] {
        fs::set_permissions(at.join(path), Permissions::from_mode(permissions)).expect("set");
    }
    shell(
        at,
        "tar --owner=3 --group=4 -C dir -cf app.tar one sub link hard1 hard2
         gzip -nk app.tar && bzip2 -k app.tar && xz -k app.tar
         echo only text | gzip -n > text.gz",
    );
}

/// Writes an archive of the tree that images stand on.
pub fn make_base(at: &Path) {
    let tree = at.join("base-tree");
    for directory in ["bin", "dev", "etc", "home/app", "proc", "run", "sys", "tmp", "usr/lib"] {
        fs::create_dir_all(tree.join(directory)).expect("a directory");
    }
    fs::copy("/bin/busybox", tree.join("bin/busybox"))
        .expect("busybox, of Debian's busybox-static");
    for name in ["sh", "cat", "chmod", "echo", "env", "id", "ln", "ls", "mkdir", "rm", "true"] {
        symlink("busybox", tree.join("bin").join(name)).expect("a symlink");
    }
    symlink("usr/lib", tree.join("lib")).expect("a symlink");
    let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
    fs::write(tree.join("etc/passwd"), passwd).expect("users");
    fs::write(tree.join("etc/group"), "root:x:0:\nstaff:x:50:\napp:x:1001:\n").expect("groups");
    // What a container mounts over, so that `buildah` has nothing to make.
    for name in ["hostname", "hosts", "resolv.conf"] {
        fs::write(tree.join("etc").join(name), "").expect("a file");
    }
    fs::set_permissions(tree.join("tmp"), Permissions::from_mode(0o1777)).expect("permissions");
    shell(at, "tar --owner=0 --group=0 -C base-tree -cf base.tar . && rm -r base-tree");
}

fn shell(at: &Path, script: &str) {
    let ended = Command::new("sh").args(["-ec", script]).current_dir(at).status();
    assert!(ended.expect("a shell").success(), "{script}");
}
