"""The version of this program, which `--version` prints and exported files record."""

VERSION = "1.5.0"
