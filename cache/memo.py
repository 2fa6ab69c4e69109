"""Facts about files that cost time to find out, remembered on this machine until the file changes.

Two facts so far: the digest of a weights file, and that a shard's checksums hold. A fact belongs to a path together
with size, modification and change time, inode and device; if any differs, it is found out again. The memo is one
SQLite file under the user's cache folder. Without it everything works, slower.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path


def remembered(path: Path, fact: str, find_out: Callable[[Path], str]) -> str:
    """Return `find_out(path)`, from memory if the file at `path` has not changed since it was asked last."""
    path = path.resolve()
    status = path.stat()
    stamp = f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}:{status.st_dev}"
    with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(_connect()) as memo:
        row = memo.execute("SELECT answer FROM facts WHERE path=? AND fact=? AND stamp=?", (str(path), fact, stamp))
        if found := row.fetchone():
            return str(found[0])
    answer = find_out(path)
    with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(_connect()) as memo, memo:
        memo.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", (str(path), fact, stamp, answer))
    return answer


def _connect() -> sqlite3.Connection:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headstart"
    folder.mkdir(parents=True, exist_ok=True)
    memo = sqlite3.connect(folder / "memo.sqlite", timeout=5)
    memo.execute("CREATE TABLE IF NOT EXISTS facts (path TEXT, fact TEXT, stamp TEXT, answer TEXT, PRIMARY KEY (path, fact))")
    return memo
