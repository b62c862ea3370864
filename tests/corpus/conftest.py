"""The trained network of the runs."""

from runs.conftest import bundle_run, environment, trained  # noqa: F401
