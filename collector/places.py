"""Where archived segments are: a folder, or a bucket of an object store. Both hold files under names."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from obstore.store import RetryConfig

# What stands before a bucket's name; everything else is a folder.
BUCKET = "s3://"
# A server that is being restarted is waited for; a wrong address is told to whoever waits at the screen.
_RETRY: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}


class PlaceError(OSError):
    """The place cannot be reached or used; the text names it and says what would be right."""


class Place(Protocol):
    """Files by name; `text` is how the place is written down."""

    text: str

    def check(self) -> None:
        """PlaceError if the place is not there."""

    def read(self, name: str) -> bytes:
        """A file from the medium; FileNotFoundError if there is none, PlaceError if it is out of reach."""

    def size(self, name: str) -> int | None:
        """A file's bytes; None if there is none."""

    def write(self, name: str, content: bytes) -> None:
        """The file whole, kept, and read back equal, or not under its name at all; an old one is replaced."""


def place(text: str) -> Place:
    """The place that a text names: s3://BUCKET/PREFIX, or a folder."""
    return Bucket(text) if text.startswith(BUCKET) else Folder(Path(text))


class Folder:
    """A folder, perhaps of a disk or share that has to be mounted: it is never made."""

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self.text = str(self._path)

    def check(self) -> None:
        if not self._path.is_dir():
            raise PlaceError(f"{self._path}: no such folder; make it, or mount what belongs there")

    def read(self, name: str) -> bytes:
        with (self._path / name).open("rb") as file:
            # Where the kernel lets it go, it comes from the disk, not from memory.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return file.read()

    def size(self, name: str) -> int | None:
        try:
            return (self._path / name).stat().st_size
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        draft = f".{name}.draft"  # one that a killed run has left is written over
        with (self._path / draft).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if self.read(draft) != content:
            raise PlaceError(f"{self._path / name}: does not read back as written")
        (self._path / draft).replace(self._path / name)
        sync(self._path)


class Bucket:
    """A bucket by s3://NAME/PREFIX; credentials, endpoint and region are AWS's environment variables."""

    def __init__(self, url: str) -> None:
        try:
            import obstore
            from obstore import exceptions, store
        except ImportError as error:
            raise PlaceError(f"{url}: needs obstore: pip install 'hashledger[archive]'") from error
        self.text, self._obstore = url.rstrip("/"), obstore
        try:
            self._store = store.from_url(self.text, retry_config=_RETRY)
        except (exceptions.BaseError, ValueError) as error:
            raise PlaceError(f"{url}: {error}") from error
        self._errors = exceptions.BaseError

    def check(self) -> None:
        self.size("manifest")

    def read(self, name: str) -> bytes:
        try:
            return bytes(self._obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            raise
        except self._errors as error:
            raise PlaceError(f"{self.text}/{name}: {_short(error)}") from error

    def size(self, name: str) -> int | None:
        try:
            return int(self._obstore.head(self._store, name)["size"])
        except FileNotFoundError:
            return None
        except self._errors as error:
            raise PlaceError(f"{self.text}/{name}: {_short(error)}") from error

    def write(self, name: str, content: bytes) -> None:
        try:
            self._obstore.put(self._store, name, content)
            if self.read(name) != content:
                self._obstore.delete(self._store, name)
                raise PlaceError(f"{self.text}/{name}: does not read back as written")
        except (FileNotFoundError, self._errors) as error:  # without such a bucket
            raise PlaceError(f"{self.text}/{name}: {_short(error)}") from error


def sync(folder: Path) -> None:
    """The names in a folder, on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
