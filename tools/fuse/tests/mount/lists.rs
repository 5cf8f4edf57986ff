//! POSIX access control lists, set and read by `setfacl` and `getfacl`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::harness::{Place, can_mount, has_program, shell};

#[test]
fn lists_are_enforced_inherited_and_follow_the_mode() {
    let test = "lists_are_enforced_inherited_and_follow_the_mode";
    if !can_mount(test) || !has_program(test, "setfacl") || !has_program(test, "setpriv") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&["lists", "everybody"]);
    let at = &served.directory;
    fs::write(served.path("secret"), "x").unwrap();
    shell(at, "chmod 600 secret; setfacl -m u:1234:r secret");
    let as_user = "setpriv --reuid 1234 --regid 1234 --clear-groups";
    shell(at, &format!("{as_user} cat secret"));
    shell(at, &format!("! {as_user} sh -c 'echo y >> secret' 2> /dev/null"));
    assert_eq!(fs::metadata(served.path("secret")).unwrap().mode() & 0o777, 0o640);
    shell(at, "chmod 600 secret");
    shell(at, &format!("! {as_user} cat secret 2> /dev/null"));

    shell(
        at,
        "mkdir folder; setfacl -d -m u:1234:rwx,g::rx,o::- folder; umask 077; touch folder/new; mkdir folder/sub",
    );
    let list = shell(at, "getfacl -cn folder/new");
    assert!(list.contains("user:1234:rwx") && list.contains("mask::rw-"), "{list}");
    assert_eq!(fs::metadata(served.path("folder/new")).unwrap().mode() & 0o777, 0o660);
    let below = shell(at, "getfacl -cnd folder/sub");
    assert!(below.contains("user:1234:rwx"), "{below}");
    shell(at, "setfacl -b secret; getfacl -cn secret | grep -v 1234; umask 022; touch plain");
    assert_eq!(fs::metadata(served.path("plain")).unwrap().mode() & 0o777, 0o644);
    shell(at, "echo x > taken-back; chmod 600 taken-back; setfacl -m u:1234:rw taken-back");
    shell(at, &format!("{as_user} cat taken-back"));
    served.unmount();

    // Without being told to, a mount neither keeps nor shows lists. But what is taken back there is taken
    // back where lists count, too.
    let served = place.serve(&[]);
    shell(&served.directory, "! setfacl -m u:1:r plain 2> /dev/null; chmod 600 taken-back");
    served.unmount();
    let served = place.serve(&["lists", "everybody"]);
    let at = &served.directory;
    shell(at, &format!("! {as_user} cat taken-back 2> /dev/null"));
    let list = shell(at, "getfacl -cn taken-back");
    assert!(list.contains("user:1234:rw-") && list.contains("mask::---"), "{list}");
    served.unmount();
    place.check();
}
