"""Names of networks and a budget -> each of them trained and evaluated, and one table: `sam3d compare`."""

from ...run.network_configs import network_configs
from .budget import Budget
from .compared_network import ComparedNetwork, Setting
from .result import NetworkResult, read_result
from .tables import write_tables

__all__ = ["Budget", "ComparedNetwork", "NetworkResult", "Setting", "network_configs", "read_result", "write_tables"]
