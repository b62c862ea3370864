"""Names of networks and a budget -> trainings, evaluations and the table of `python -m scripts.tools.compare`."""

from .budget import Budget
from .contender import Contender, Setting
from .network_configs import network_configs
from .row import Row, read_row
from .tables import write_tables

__all__ = ["Budget", "Contender", "Row", "Setting", "network_configs", "read_row", "write_tables"]
