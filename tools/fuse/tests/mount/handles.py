# Handles, as a server of NFS keeps them: of files that stay, of files that go, and of numbers that are given again.
# Says how many numbers were.
import ctypes, errno, os, sys

directory, rounds = sys.argv[1], int(sys.argv[2])
FILES = 1000
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]


def handle_of(path):
    handle, mount = Handle(128), ctypes.c_int()
    if libc.name_to_handle_at(AT_FDCWD, path.encode(), ctypes.byref(handle), ctypes.byref(mount), 0):
        raise OSError(ctypes.get_errno(), path)
    return handle


def open_by(mount, handle):
    file = libc.open_by_handle_at(mount, ctypes.byref(handle), os.O_RDONLY)
    if file < 0:
        raise OSError(ctypes.get_errno(), "open by handle")
    return file


def content_by(mount, handle):
    file = open_by(mount, handle)
    try:
        return os.read(file, 100)
    finally:
        os.close(file)


def forget():
    with open("/proc/sys/vm/drop_caches", "w") as caches:
        caches.write("2")


mount = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
reused, gone = 0, {}
for round in range(rounds):
    files = {}
    for n in range(FILES):
        path, content = f"{directory}/{round}-{n}", f"{round} {n}".encode()
        with open(path, "wb") as file:
            file.write(content)
        number = os.stat(path).st_ino
        files[path] = (content, number, handle_of(path))
        reused += number in gone
    for turn in range(2):
        for content, _, handle in files.values():
            assert content_by(mount, handle) == content, content
        os.sync()
        forget()
    kept = open_by(mount, next(iter(files.values()))[2])
    for path in files:
        os.unlink(path)
    # One that is open has its handle as long as it is.
    content, _, handle = next(iter(files.values()))
    assert content_by(mount, handle) == content
    os.close(kept)
    forget()
    gone.update((number, handle) for _, number, handle in files.values())
    if round % 10 == 1:
        # Numbers are in use again, or free: the old handles lead nowhere.
        again = [open(f"{directory}/again-{n}", "w") for n in range(FILES)]
        for number, handle in gone.items():
            try:
                found = content_by(mount, handle)
            except OSError as error:
                assert error.errno == errno.ESTALE, error
            else:
                raise AssertionError(f"{number} leads to {found}")
        for n, file in enumerate(again):
            file.close()
            os.unlink(f"{directory}/again-{n}")
print(reused)
