"""Writers: a filing as JSON, CSV and XLSX, all three or none."""

from reporting.writers.folder import FORMATS, file_name, write

__all__ = ["FORMATS", "file_name", "write"]
