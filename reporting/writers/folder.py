"""Puts a filing's files into a folder: all of them or none, and never half of one."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from reporting.filing import Filing
from reporting.writers import csv_file, json_file, xlsx_file

FORMATS = {"json": json_file.render, "csv": csv_file.render, "xlsx": xlsx_file.render}

_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def file_name(filing: Filing, extension: str) -> str:
    """`form_site_period.extension`; what does not belong in a file name becomes `-`."""
    site = _NOT_IN_NAMES.sub("-", filing.site).strip(".-") or "site"
    return f"{filing.form}_{site}_{filing.period}.{extension}"


def write(filing: Filing, folder: Path) -> list[Path]:
    """Writes the filing in every format, over earlier ones; on any failure the folder stays as it was."""
    # Everything is rendered before the first file appears: a writer that fails leaves nothing behind.
    contents = {
        folder / file_name(filing, extension): render(filing) for extension, render in FORMATS.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    before = {path: path.read_bytes() if path.exists() else None for path in contents}
    temporary: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            temporary[path] = _write_temporary(folder, content)
        for path, written in temporary.items():
            written.replace(path)
    except OSError:
        for path, content_before in before.items():
            _restore(path, content_before)
        raise
    finally:
        for written in temporary.values():
            written.unlink(missing_ok=True)
    return list(contents)


def _write_temporary(folder: Path, content: bytes) -> Path:
    # In the same folder, so that the rename cannot cross file systems.
    handle, name = tempfile.mkstemp(prefix=".filing-", suffix=".part", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def _restore(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    elif path.read_bytes() != content:
        _write_temporary(path.parent, content).replace(path)
