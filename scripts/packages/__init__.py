"""A training run -> a bundle of its own that can be carried elsewhere, and the checks of one that somebody sent.

model.pt -> baked_configs, metadata, model_card, bill_of_materials -> write_package -> folder with SHA256SUMS -> write_archive
archive -> unpack_archive -> check_package (package_files, package_sums, package_configs) -> its checkpoints
"""

from .package_sums import require_undamaged

__all__ = ["require_undamaged"]
