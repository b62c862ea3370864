"""The laboratory's tests run the documented commands too."""

from runs.conftest import bundle_run, environment, trained

__all__ = ["bundle_run", "environment", "trained"]
