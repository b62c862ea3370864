"""Names of networks and a budget -> each of them trained and evaluated, and one table: `sam3d compare`."""

from .budget import Budget
from .compare_networks import compare_networks
from .compared_network import ComparedNetwork, Setting
from .result import NetworkResult, read_result
from .tables import write_tables

__all__ = [
    "Budget",
    "ComparedNetwork",
    "NetworkResult",
    "Setting",
    "compare_networks",
    "read_result",
    "write_tables",
]
