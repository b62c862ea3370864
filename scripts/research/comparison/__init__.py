"""Names of networks and a budget -> trainings, evaluations and the table of `python -m scripts.research.comparison.compare`."""

from ...run.network_configs import network_configs
from .budget import Budget
from .compared_network import ComparedNetwork, Setting
from .result import NetworkResult, read_result
from .tables import write_tables

__all__ = ["Budget", "ComparedNetwork", "NetworkResult", "Setting", "network_configs", "read_result", "write_tables"]
