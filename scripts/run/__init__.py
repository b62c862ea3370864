"""What a run is told to do, and how it ends: settings checked and compared, errors in a sentence, an orderly end on signals."""

from .check_config import check_config
from .plain_errors import show_plain_errors
from .settings import read_settings

__all__ = ["check_config", "read_settings", "show_plain_errors"]
