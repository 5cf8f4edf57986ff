"""Does to a directory what POSIX and Linux say something about, and prints what came of it.

Run once on a filesystem of the kernel and once on a mount: the two have to say the same. Left out
is what the kernel decides without asking a FUSE server, or without telling it enough: a chown to
nobody, a truncation to the same size, and set-group-id without group execution.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import stat
import struct
import sys
import time

root = os.fsencode(sys.argv[1])
os.chdir(root)
os.umask(0o022)
libc = ctypes.CDLL(None, use_errno=True)
NOBODY = 65534
NOREPLACE, EXCHANGE = 1, 2
# A file's capabilities: the second revision, CAP_NET_RAW permitted and effective.
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


def call(what, function, *arguments, **named):
    """What it gives, or the name of its error."""
    try:
        given = function(*arguments, **named)
        print(what, "->", given)
        return given
    except OSError as error:
        print(what, "->", errno.errorcode.get(error.errno, error.errno))


def quietly(function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)


def as_nobody(function):
    """Does it as a user who owns nothing."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        function()
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def show(path):
    found = os.lstat(path)
    kind = stat.filemode(found.st_mode)
    print(" ", path, kind, oct(found.st_mode & 0o7777), found.st_nlink, found.st_uid, found.st_gid,
          found.st_size if not stat.S_ISDIR(found.st_mode) else "-",
          sorted(name for name in os.listxattr(path, follow_symlinks=False)
                 if not name.startswith("system.") and name != "security.selinux"))


def fresh(path, mode=0o644, content=b"content", owner=0, group=0):
    quietly(os.unlink, path)
    with open(path, "wb") as file:
        file.write(content)
    os.chown(path, owner, group)
    os.chmod(path, mode)
    return path


def renameat2(old, new, flags):
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def write(path, flags=0):
    file = os.open(path, os.O_WRONLY | flags)
    try:
        return os.write(file, b"x")
    finally:
        os.close(file)


def write_mapped(path):
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0] = 65


def on_file(path, function, flags=os.O_RDWR):
    file = os.open(path, flags)
    try:
        return function(file)
    finally:
        os.close(file)


def copy_into(path):
    with open("source", "rb") as source, open(path, "r+b") as target:
        return os.copy_file_range(source.fileno(), target.fileno(), 3)


def section(name):
    print("==", name)


section("privileges")
fresh("source")
CHANGES = [
    ("write", write),
    ("truncate", lambda path: os.truncate(path, 2)),
    ("truncate to its size", lambda path: os.truncate(path, 7)),
    ("open with O_TRUNC", lambda path: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))),
    ("append", lambda path: write(path, os.O_APPEND)),
    ("fallocate", lambda path: on_file(path, lambda file: os.posix_fallocate(file, 0, 100))),
    ("map", write_mapped),
    ("chown to itself", lambda path: os.chown(path, os.stat(path).st_uid, -1)),
    ("chgrp to itself", lambda path: os.chown(path, -1, os.stat(path).st_gid)),
    ("copy a range", copy_into),
    ("read", lambda path: on_file(path, lambda file: os.read(file, 3), os.O_RDONLY)),
    ("utime", lambda path: os.utime(path)),
    ("link", lambda path: (os.link(path, path + "-2"), os.unlink(path + "-2"))[1]),
]
for mode in (0o4777, 0o2777, 0o6777, 0o4666, 0o1777):
    for name, change in CHANGES:
        fresh("f", mode)
        call(f"root {name} {mode:o}", change, "f")
        show("f")
        fresh("f", mode, owner=NOBODY, group=NOBODY)
        as_nobody(lambda: call(f"owner {name} {mode:o}", change, "f"))
        show("f")
        if name not in ("utime", "link"):
            fresh("f", mode)
            as_nobody(lambda: call(f"other {name} {mode:o}", change, "f"))
            show("f")
for name, change in CHANGES:
    if name == "map":
        continue
    for who in ("root", "other"):
        fresh("f", 0o777)
        os.setxattr("f", "security.capability", CAPABILITY)
        if who == "root":
            call(f"{who} {name} with capabilities", change, "f")
        elif name not in ("utime", "link"):
            as_nobody(lambda: call(f"{who} {name} with capabilities", change, "f"))
        show("f")
fresh("f", 0o4755)
call("chown to another", os.chown, "f", 5, 6)
show("f")
fresh("f", 0o644, owner=NOBODY, group=7)
as_nobody(lambda: call("set-group-id for a strange group", os.chmod, "f", 0o2755))
show("f")
as_nobody(lambda: call("chown of one's own", os.chown, "f", 0, -1))
as_nobody(lambda: call("chgrp to one's group", os.chown, "f", -1, NOBODY))
as_nobody(lambda: call("chgrp to another", os.chown, "f", -1, 9))
show("f")

section("inheritance")
os.mkdir("shared")
os.chown("shared", 3, 1234)
os.chmod("shared", 0o2777)


def make_all(prefix):
    call("file", lambda: os.close(os.open(f"shared/{prefix}file", os.O_CREAT | os.O_WRONLY, 0o666)))
    call("file with set-group-id",
         lambda: os.close(os.open(f"shared/{prefix}sgid", os.O_CREAT | os.O_WRONLY, 0o2775)))
    call("directory", os.mkdir, f"shared/{prefix}directory", 0o777)
    call("symlink", os.symlink, "x", f"shared/{prefix}symlink")
    call("pipe", os.mkfifo, f"shared/{prefix}pipe")
    call("device", os.mknod, f"shared/{prefix}device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))


make_all("")
as_nobody(lambda: make_all("nobody-"))
for name in sorted(os.listdir("shared")):
    show(f"shared/{name}")
show("shared")

section("names")
for length in (1, 254, 255, 256, 300):
    name = b"n" * length
    call(f"a name of {length}", lambda: os.close(os.open(name, os.O_CREAT | os.O_WRONLY)))
    call(f"mkdir of {length}", os.mkdir, b"d" * length)
    call(f"lookup of {length}", lambda: os.stat(b"m" * length).st_size)
    call(f"rename to {length}", os.rename, name, b"r" * length)
    call(f"symlink of {length}", os.symlink, b"t", b"s" * length)
    call(f"unlink of {length}", os.unlink, b"r" * length)
for name in (b"\xff\xfe", b"new\nline", b" ", b"...", b".wh.x", "\u00e4".encode(), "a\u0308".encode()):
    call(f"{name!r}", lambda: os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)))
print(sorted(os.listdir(b".")))
for length in (1, 59, 60, 1000, 4095, 4096):
    quietly(os.unlink, "s")
    call(f"a target of {length}", os.symlink, b"t" * length, b"s")
    call("its length", lambda: (len(os.readlink("s")), os.lstat("s").st_size))
call("an empty target", os.symlink, "", "s0")

section("renames")
for old in ("file", "empty", "full", "link", "missing"):
    for new in ("file", "empty", "full", "link", "missing", "full/below", "empty/below", "link/below"):
        for flags in (0, NOREPLACE, EXCHANGE):
            os.system("rm -rf r; mkdir r r/a r/b")
            for side in ("a", "b"):
                fresh(f"r/{side}/file", content=side.encode())
                os.mkdir(f"r/{side}/empty")
                os.makedirs(f"r/{side}/full/in")
                os.symlink("file", f"r/{side}/link")
            for directory in ("a", "b"):
                call(f"{old} {directory}/{new} {flags}", renameat2, f"r/a/{old}", f"r/{directory}/{new}", flags)
            for side in ("a", "b"):
                print(" ", sorted(os.listdir(f"r/{side}")), os.stat(f"r/{side}").st_nlink)
os.system("rm -rf r; mkdir -p r/a/b/c")
call("into itself", os.rename, "r/a", "r/a/b/c/d")
call("exchange with one below", renameat2, "r/a", "r/a/b/c", EXCHANGE)
call("onto itself", os.rename, "r/a", "r/a")
fresh("r/one")
os.link("r/one", "r/two")
call("onto another name of it", os.rename, "r/one", "r/two")
print(sorted(os.listdir("r")), os.stat("r/one").st_nlink)
call("trailing dot", os.rename, "r/a", "r/x/.")
call("the root", os.rename, "r/a/..", "r/y")

section("opens and removals")
fresh("f")
quietly(os.mkdir, "d")
os.symlink("f", "to-f")
os.symlink("to-loop", "to-loop")
os.symlink("missing", "to-missing")
for path in ("f", "d", "to-f", "to-loop", "to-missing", "missing", "f/", "d/", "f/x", "missing/x", "to-f/"):
    for name in ("O_RDONLY", "O_WRONLY", "O_RDWR|O_CREAT", "O_CREAT|O_EXCL", "O_DIRECTORY", "O_NOFOLLOW",
                 "O_PATH|O_NOFOLLOW", "O_DIRECTORY|O_CREAT", "O_WRONLY|O_TRUNC|O_NOFOLLOW"):
        flags = 0
        for flag in name.split("|"):
            flags |= getattr(os, flag)
        call(f"open {path} {name}", lambda: os.close(os.open(path, flags)))
        if path in ("missing", "to-missing"):
            quietly(os.unlink, "missing")
for path in ("d", "f", "d/.", "d/..", "missing", "f/", "to-f/"):
    os.path.isdir("d") or os.mkdir("d")
    os.path.exists("f") or fresh("f")
    call(f"rmdir {path}", os.rmdir, path)
    call(f"unlink {path}", os.unlink, path)
    call(f"mkdir {path}", os.mkdir, path)
    call(f"link {path}", os.link, path, "linked", follow_symlinks=False)
    quietly(os.unlink, "linked")
    quietly(os.rmdir, "f")
os.path.isfile("f") or fresh("f")
call("link of a symlink", os.link, "to-f", "to-f-2", follow_symlinks=False)
show("to-f-2")
call("read a directory", lambda: on_file("d", lambda file: os.read(file, 1), os.O_RDONLY))
call("write what is open to read", lambda: on_file("f", lambda file: os.write(file, b"x"), os.O_RDONLY))
call("truncate a directory", os.truncate, "d", 0)
call("truncate below nothing", lambda: on_file("f", lambda file: os.ftruncate(file, -1)))
call("fsync what is open to read", lambda: on_file("f", os.fsync, os.O_RDONLY))
call("fsync a directory", lambda: on_file("d", os.fsync, os.O_RDONLY))

section("unlinked and open")
file = os.open(fresh("gone"), os.O_RDWR)
os.unlink("gone")
call("write", os.pwrite, file, b"abc", 5000)
call("chmod", os.fchmod, file, 0o600)
call("chown", os.fchown, file, 1, 2)
call("truncate", os.ftruncate, file, 6000)
call("attribute", os.setxattr, file, "user.a", b"x")
found = os.fstat(file)
print(oct(found.st_mode), found.st_nlink, found.st_uid, found.st_size)
call("link again", os.link, f"/proc/self/fd/{file}", "again", follow_symlinks=True)
print(os.pread(file, 5, 4999))
os.close(file)
directory = os.open("d", os.O_RDONLY)
os.rmdir("d")
call("a name in a removed directory", os.mkdir, "x", dir_fd=directory)
call("list a removed directory", os.listdir, directory)
print(os.fstat(directory).st_nlink)
os.close(directory)

section("times")
STAMP = 1_000_000_000


def stamped(path, change):
    """Which times the change renews."""
    os.utime(path, (STAMP, STAMP), follow_symlinks=False)
    before = os.lstat(path)
    time.sleep(0.012)
    answer = quietly(change)
    after = os.lstat(path)
    renewed = [name for name in ("st_mtime_ns", "st_ctime_ns") if getattr(before, name) != getattr(after, name)]
    return renewed if answer is None or not isinstance(answer, str) else (renewed, answer)


os.mkdir("t")
fresh("t/f")
os.symlink("f", "t/s")
os.mkdir("t/d")
for name, path, change in [
    ("write", "t/f", lambda: write("t/f")),
    ("write of nothing", "t/f", lambda: on_file("t/f", lambda file: os.write(file, b""))),
    ("truncate", "t/f", lambda: os.truncate("t/f", 3)),
    ("ftruncate to its size", "t/f", lambda: on_file("t/f", lambda file: os.ftruncate(file, 3))),
    ("O_TRUNC", "t/f", lambda: os.close(os.open("t/f", os.O_WRONLY | os.O_TRUNC))),
    ("O_TRUNC of nothing", "t/f", lambda: os.close(os.open("t/f", os.O_WRONLY | os.O_TRUNC))),
    ("fallocate", "t/f", lambda: on_file("t/f", lambda file: os.posix_fallocate(file, 0, 50))),
    ("chmod", "t/f", lambda: os.chmod("t/f", 0o600)),
    ("chmod to the same", "t/f", lambda: os.chmod("t/f", 0o600)),
    ("chown", "t/f", lambda: os.chown("t/f", 1, 1)),
    ("chown of nothing", "t/f", lambda: os.chown("t/f", -1, -1)),
    ("set an attribute", "t/f", lambda: os.setxattr("t/f", "user.x", b"1")),
    ("remove an attribute", "t/f", lambda: os.removexattr("t/f", "user.x")),
    ("link", "t/f", lambda: os.link("t/f", "t/f2")),
    ("unlink of another name", "t/f", lambda: os.unlink("t/f2")),
    ("read", "t/f", lambda: on_file("t/f", lambda file: os.read(file, 1), os.O_RDONLY)),
    ("stat", "t/f", lambda: os.stat("t/f").st_size),
    ("make in it", "t/d", lambda: fresh("t/d/f")),
    ("change of a file in it", "t/d", lambda: write("t/d/f")),
    ("link in it", "t/d", lambda: os.link("t/d/f", "t/d/g")),
    ("rename in it", "t/d", lambda: os.rename("t/d/f", "t/d/h")),
    ("rename over another in it", "t/d", lambda: os.rename("t/d/h", "t/d/g")),
    ("mkdir in it", "t/d", lambda: os.mkdir("t/d/d")),
    ("rmdir in it", "t/d", lambda: os.rmdir("t/d/d")),
    ("symlink in it", "t/d", lambda: os.symlink("x", "t/d/s")),
    ("unlink in it", "t/d", lambda: os.unlink("t/d/s")),
    ("mkfifo in it", "t/d", lambda: os.mkfifo("t/d/p")),
    ("failing mkdir in it", "t/d", lambda: os.mkdir("t/d/p")),
    ("move out of it", "t/d", lambda: os.rename("t/d/p", "t/p")),
    ("move into it", "t/d", lambda: os.rename("t/p", "t/d/p")),
    ("lchown of a symlink", "t/s", lambda: os.lchown("t/s", 1, 1)),
]:
    print(name, stamped(path, change))
fresh("t/moved")
before = os.stat("t/moved").st_ctime_ns
time.sleep(0.012)
os.rename("t/moved", "t/moved2")
print("a rename renews the file's ctime:", os.stat("t/moved2").st_ctime_ns != before)
for given in ((0, 0), (-1, -1), (-5.25, 17.5), (STAMP + 0.123456789, 0)):
    os.utime("t/f", ns=tuple(int(part * 10**9) for part in given))
    print(given, os.stat("t/f").st_atime_ns, os.stat("t/f").st_mtime_ns)
fresh("t/f", 0o666)
as_nobody(lambda: call("another's times to now", os.utime, "t/f"))
as_nobody(lambda: call("another's times to something", os.utime, "t/f", (1, 1)))
os.chmod("t/f", 0o644)
as_nobody(lambda: call("times of what may not be written", os.utime, "t/f"))

section("permissions")
os.system("rm -rf p; mkdir -p p/open/sticky p/closed p/dark")
os.chmod("p/open/sticky", 0o1777)
os.chmod("p/open", 0o777)
os.chmod("p/closed", 0o711)
os.chmod("p/dark", 0o744)
fresh("p/open/sticky/file", 0o666)
fresh("p/open/read", 0o644)
fresh("p/open/none", 0o600)
fresh("p/open/execute", 0o711)
fresh("p/closed/file", 0o644)
fresh("p/dark/file", 0o644)


def try_all():
    call("remove from sticky", os.unlink, "p/open/sticky/file")
    call("rename in sticky", os.rename, "p/open/sticky/file", "p/open/sticky/other")
    call("make in sticky", lambda: os.close(os.open("p/open/sticky/mine", os.O_CREAT | os.O_WRONLY)))
    call("write what may be read", write, "p/open/read")
    call("read what may not be", lambda: on_file("p/open/none", lambda file: os.read(file, 3), os.O_RDONLY))
    call("list closed", os.listdir, "p/closed")
    call("read in closed", lambda: on_file("p/closed/file", lambda file: os.read(file, 3), os.O_RDONLY))
    call("list dark", os.listdir, "p/dark")
    call("stat in dark", lambda: os.stat("p/dark/file").st_size)
    call("make in closed", os.mkdir, "p/closed/x")
    call("chmod another's", os.chmod, "p/open/read", 0o777)
    call("link another's", os.link, "p/open/read", "p/open/linked")
    call("remove another's from open", os.unlink, "p/open/none")
    call("access", lambda: [os.access("p/open/execute", way) for way in (os.R_OK, os.W_OK, os.X_OK)])
    call("attribute of another's", os.setxattr, "p/open/read", "user.a", b"x")
    call("trusted attribute", os.setxattr, "p/open/sticky/mine", "trusted.a", b"x")
    call("device", os.mknod, "p/open/device", 0o600 | stat.S_IFBLK, os.makedev(8, 0))


as_nobody(try_all)
call("root executes what nobody may", lambda: os.access("p/open/read", os.X_OK))

section("attributes")
fresh("f")
os.path.islink("to-f") or os.symlink("f", "to-f")
for name in ("user.a", "trusted.a", "security.a", "user.", "user", "other.a", "user." + "n" * 250, "user." + "n" * 251,
             "system.other"):
    call(f"set {name[:20]} {len(name)}", os.setxattr, "f", name, b"value")
    call("get", os.getxattr, "f", name)
    call("create again", os.setxattr, "f", name, b"2", os.XATTR_CREATE)
    call("remove", os.removexattr, "f", name)
    call("remove again", os.removexattr, "f", name)
    call("replace nothing", os.setxattr, "f", name, b"3", os.XATTR_REPLACE)
call("of a symlink", os.setxattr, "to-f", "user.a", b"x", follow_symlinks=False)
call("trusted of a symlink", os.setxattr, "to-f", "trusted.a", b"x", follow_symlinks=False)
call("an empty value", os.setxattr, "f", "user.empty", b"")
call("of 2000 bytes", os.setxattr, "f", "user.large", b"v" * 2000)
print(len(os.getxattr("f", "user.large")), sorted(os.listxattr("f")))
os.rename("f", "f-moved")
print(sorted(os.listxattr("f-moved")))

section("content")
file = os.open("c", os.O_CREAT | os.O_RDWR | os.O_TRUNC)
call("far away", os.pwrite, file, b"end", 1 << 20)
print(os.fstat(file).st_size, os.pread(file, 4, (1 << 20) - 2))
call("append", lambda: [write("c", os.O_APPEND), os.fstat(file).st_size])
call("read behind the end", os.pread, file, 10, 1 << 21)
call("seek before the start", os.lseek, file, -1, os.SEEK_SET)
call("data behind the end", os.lseek, file, 1 << 21, os.SEEK_DATA)
call("hole behind the end", os.lseek, file, 1 << 21, os.SEEK_HOLE)
call("data", os.lseek, file, 0, os.SEEK_DATA)
call("hole in data", os.lseek, file, 1 << 20, os.SEEK_HOLE)
KEEP, PUNCH, ZERO = 1, 2, 16
for mode in (0, KEEP, PUNCH, PUNCH | KEEP, ZERO, ZERO | KEEP):
    for offset, length in ((0, 5000), (1 << 20, 9000), (0, 0), (-1, 5), (5, -1)):
        answer = libc.fallocate(file, mode, ctypes.c_long(offset), ctypes.c_long(length))
        number = 0 if answer == 0 else errno.errorcode[ctypes.get_errno()]
        print("fallocate", mode, offset, length, number, os.fstat(file).st_size, os.pread(file, 3, 1 << 20))
other = os.open("c2", os.O_CREAT | os.O_RDWR | os.O_TRUNC)
os.pwrite(file, bytes(range(200)) * 100, 0)
for length, source, target in ((100, 0, 0), (8192, 4096, 4096), (10_000, 19_000, 3), (5, 1 << 22, 0), (0, 0, 0)):
    call(f"copy {length} {source} {target}", os.copy_file_range, file, other, length, source, target)
    print(os.fstat(other).st_size, sum(os.pread(other, 1 << 16, 0)))
call("copy onto itself", os.copy_file_range, file, file, 100, 0, 50)
call("copy elsewhere in itself", os.copy_file_range, file, file, 4096, 0, 65_536)
print(sum(os.pread(file, 1 << 18, 0)))
call("sendfile", os.sendfile, other, file, 0, 3000)
with mmap.mmap(file, 8192) as mapped:
    mapped[10:13] = b"map"
    print(os.pread(file, 5, 9))
    os.pwrite(file, b"file", 20)
    print(mapped[19:25])
os.truncate("c", 100)
os.truncate("c", 8192)
print(set(os.pread(file, 8092, 100)))
os.close(file)

section("locks")
file = os.open("c", os.O_RDWR)
fcntl.flock(file, fcntl.LOCK_EX)
as_nobody(lambda: None)


def lock_too():
    mine = os.open("c", os.O_RDWR)
    call("flock", fcntl.flock, mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
    call("lockf", fcntl.lockf, mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 100)


child = os.fork()
if child == 0:
    lock_too()
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
fcntl.lockf(file, fcntl.LOCK_EX, 10, 100)
sys.stdout.flush()
child = os.fork()
if child == 0:
    lock_too()
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)

section("links")
os.mkdir("l")
for number in range(3):
    os.makedirs(f"l/d{number}/in")
    fresh(f"l/f{number}")
    show("l")
os.rename("l/d0", "l/d1/moved")
show("l")
show("l/d1")
os.rmdir("l/d2/in")
os.rmdir("l/d2")
show("l")
print(os.stat("l/d1/moved/..").st_ino == os.stat("l/d1").st_ino)
print(os.statvfs(".").f_namemax)
