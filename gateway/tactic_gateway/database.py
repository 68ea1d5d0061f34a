"""The SQLite file: opening, migrating, transactions.

WAL mode with ``synchronous = FULL``: what is committed survives power loss.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from tactic_gateway.errors import StoreError

_REMEDY = "check [store] path and its permissions"
_BUSY_S = 10.0
_JOURNAL_BYTES = 32 << 20


class Database:
    """One connection that all threads share.

    Raises
    ------
    StoreError
        The file cannot be opened, is no database, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = _connect(path, "rwc")
        except (sqlite3.Error, OSError) as fault:
            raise StoreError(f"{path}: {fault}; {_REMEDY}") from fault
        try:
            # Works on an empty file only: what is deleted can go back to the disk step by step.
            self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _set_up(self._db)
            _migrate(self._db, path)
            self._id = _id(self._db)
        except sqlite3.Error as fault:
            self._db.close()
            raise StoreError(f"{path}: {fault}; {_REMEDY}") from fault
        except StoreError:
            self._db.close()
            raise

    def reopen(self) -> None:
        """Open the file anew: the disk may have been away, and be back.

        Raises
        ------
        StoreError
            It is not there, or another one is in its place; until a later call finds it, every
            transaction fails.
        """
        with self._lock:
            self._db.close()
            try:
                self._db = _connect(self.path, "rw")
                _set_up(self._db)
                other = _id(self._db) != self._id
            except sqlite3.Error as fault:
                self._db.close()
                raise StoreError(f"{self.path}: {fault}; {_REMEDY}") from fault
            if other:
                self._db.close()
                raise StoreError(f"{self.path}: another store is in its place; put it back")

    def close(self) -> None:
        """Close the file; nothing can be read or written afterwards."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside is committed together, or, on an exception, not at all.

        Raises
        ------
        StoreError
            The database cannot be read or written, for example because the disk is full.
        """
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.Error as fault:
                raise StoreError(f"{self.path}: {fault}; check the disk") from fault
            finally:
                with suppress(sqlite3.Error):
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")

    def rebuild(self) -> None:
        """Write the file anew without its empty pages, able from now on to give back pages.

        Raises
        ------
        StoreError
            It cannot be written, or another process has it open.
        """
        with self._alone() as db:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("VACUUM")

    def checkpoint(self) -> None:
        """Bring everything from the write-ahead log into the file, and empty the log.

        Raises
        ------
        StoreError
            The file cannot be written.
        """
        with self._alone() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as fault:
                raise StoreError(f"{self.path}: {fault}; check the disk") from fault


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a store for reading only, beside a gateway that may be running.

    Raises
    ------
    StoreError
        There is none, it cannot be read, or it has another schema than this program.
    """
    try:
        if not path.exists():
            raise StoreError(f"{path}: no such store; {_REMEDY}")
        db = _connect(path, "ro")
    except (sqlite3.Error, OSError) as fault:
        raise StoreError(f"{path}: {fault}; {_REMEDY}") from fault
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        newest = scripts()[-1][0]
        if version != newest:
            remedy = "upgrade this program" if version > newest else "start the gateway once"
            raise StoreError(f"{path}: schema {version}, this program reads {newest}; {remedy}")
        yield db
    except sqlite3.Error as fault:
        raise StoreError(f"{path}: {fault}; run tactic store fsck") from fault
    finally:
        db.close()


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the store as its gateway does; gives False where another process holds it.

    Raises
    ------
    StoreError
        The file ``PATH.lock`` cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise StoreError(f"{path}: {fault.strerror}; {_REMEDY}") from fault
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(file)


def scripts() -> list[tuple[int, str]]:
    """Number and text of every step of the schema, in order."""
    return sorted(
        (int(file.name[:3]), file.read_text(encoding="utf-8"))
        for file in resources.files("tactic_gateway").joinpath("schema").iterdir()
        if file.name.endswith(".sql")
    )


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    place = f"file:{quote(str(path.absolute()))}?mode={mode}"
    return sqlite3.connect(
        place, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, uri=True
    )


def _set_up(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")


def _id(db: sqlite3.Connection) -> str:
    ((found,),) = db.execute("SELECT value FROM notes WHERE name = 'id'").fetchall()
    return str(found)


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    steps = scripts()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > steps[-1][0]:
        raise StoreError(f"{path}: schema {version} of a newer tactic; upgrade this program")
    for number, script in steps:
        if number > version:
            db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
