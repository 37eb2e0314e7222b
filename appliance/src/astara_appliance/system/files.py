"""Write, read and remove files so that a reader, or a power cut, never sees half of one.

It never decides contents. Called by drivers, by the pipeline's store and by
astara-configure-management.
"""

import contextlib
import os
import pathlib
import stat
import tempfile
import time

LEFTOVER_AGE_S = 600


def write_file(
    path: pathlib.Path, text: str, mode: int = 0o644, *, group: int | None = None
) -> bool:
    """Make `path` hold `text` with permission bits `mode`; return whether anything had to change.

    With `group` (a number) a new file belongs to that group.

    The new content is on disk (fsync of file and directory) before the name points to it. Missing
    parent directories are made with mode 0755. When the file already holds this text and mode,
    nothing is written.
    """
    if read_file(path) == text and stat.S_IMODE(path.stat().st_mode) == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            if group is not None:
                os.fchown(stream.fileno(), -1, group)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_directory(path.parent)
    return True


def read_file(path: pathlib.Path) -> str | None:
    """Return the text of `path`, None if there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None


def remove_file(path: pathlib.Path) -> bool:
    """Remove `path`; return whether it was there."""
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    _sync_directory(path.parent)
    return True


def remove_leftovers(directory: pathlib.Path) -> int:
    """Remove what killed writers left half-written below `directory`; return how many files."""
    removed = 0
    for path in directory.rglob(".*"):
        with contextlib.suppress(FileNotFoundError):
            # Younger ones may belong to a writer that lives.
            if path.is_file() and time.time() - path.stat().st_mtime > LEFTOVER_AGE_S:
                path.unlink()
                removed += 1
    return removed


def _sync_directory(directory: pathlib.Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
