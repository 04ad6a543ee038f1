"""Strict reading of files: what is in the file is in the table, or an error names the line. One file a format."""

from recbench.formats.columns import BadRows, Column, Kind, Read
from recbench.formats.delimited import DELIMITERS, Layout, read_delimited
from recbench.formats.json_lines import read_json_lines
from recbench.formats.names import LAYOUTS, format_of
from recbench.formats.negatives import read_negatives
from recbench.formats.parquet import read_parquet, sample_parquet
from recbench.formats.user_lists import read_user_lists

__all__ = [
    "DELIMITERS",
    "LAYOUTS",
    "BadRows",
    "Column",
    "Kind",
    "Layout",
    "Read",
    "format_of",
    "read_delimited",
    "read_json_lines",
    "read_negatives",
    "read_parquet",
    "read_user_lists",
    "sample_parquet",
]
