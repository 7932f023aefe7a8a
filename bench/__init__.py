"""Measurements of a whole gateway process against a fake upstream on the same machine; see README.md."""
