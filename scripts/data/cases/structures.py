"""A preset's labels and regions -> the structures whose Dice is measured."""

from collections.abc import Mapping
from types import MappingProxyType

from ...basics.regions import Regions, region_classes


def structures(labels: Mapping[str, str], regions: Regions = MappingProxyType({})) -> dict[str, list[int]]:
    """Lists what is measured: the regions, or each class but the background where there are none.

    Args:
        labels: the preset's, value -> name.
        regions: the preset's, name -> label values.

    Returns:
        The class numbers of each structure, by its name.

    Example:
        >>> from scripts.data import structures
        >>> structures({"0": "background", "3": "liver", "7": "tumour"})
        {'liver': [1], 'tumour': [2]}
        >>> structures({"0": "background", "3": "edema", "7": "core"}, {"whole tumour": [3, 7], "core": [7]})
        {'whole tumour': [1, 2], 'core': [2]}
    """
    return region_classes(labels, regions) or {name: [number] for number, name in enumerate(labels.values()) if number}
