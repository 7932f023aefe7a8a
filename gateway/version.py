"""The version, from the installed package's own metadata."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("imagegate")
except PackageNotFoundError:  # run from a source tree that was not installed
    VERSION = "0+source"
