"""A file is whole or not there: written beside its place and renamed, sealed by its sha256, its folder locked for one run."""
