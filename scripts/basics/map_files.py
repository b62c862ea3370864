"""Names of the maps beside a mask: NAME_probability_CLASS.nii.gz and NAME_entropy.nii.gz, beside NAME_seg.nii.gz."""

import re
from typing import Any

ENTROPY, MUTUAL_INFORMATION, PROBABILITY = "entropy", "mutual_information", "probability_"
MAP_FILE = re.compile(rf"_({PROBABILITY}.+|{ENTROPY}|{MUTUAL_INFORMATION})\.nii\.gz$")


def map_file(mask_name: Any, map_name: str) -> str:
    """`sub/a_seg`, entropy -> `sub/a_entropy.nii.gz`"""
    return f"{str(mask_name).removesuffix('_seg')}_{map_name}.nii.gz"
