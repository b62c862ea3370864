"""A folder that somebody sent -> its networks, after everything in it was checked and nothing of it was run."""

from pathlib import Path
from typing import Any, NamedTuple

from ..files.checkpoint_file import read_about, read_checkpoint
from ..files.file_digest import file_digest
from ..run.config_files import BUNDLE_ROOT, CONFIGS, read_config
from ..run.ensemble_file import read_ensemble
from ..run.foreign_code import foreign_code
from ..run.trained_settings import trained_settings
from .baked_configs import baked_configs
from .package_configs import read_package_json, require_own_configs, require_own_metadata
from .package_files import ENSEMBLE, LARGE_FILES, METADATA, PACKED_AGAIN, REQUIREMENTS, RUNS, encoder_of, files_of, models_of
from .package_sums import require_sums
from .requirements import wrong_requirement


class Package(NamedTuple):
    """checkpoints: one, or all of an ensemble. encoder_weights: None where the package has none.

    doubts: sentences about what could not be checked.
    """

    checkpoints: list[Path]
    encoder_weights: Path | None
    doubts: list[str]


def check_package(folder: Path) -> Package:
    """Raises ValueError, which names the file, for the first thing in it that a package of this bundle cannot have."""
    names = files_of(folder)
    encoder = encoder_of(names)
    require_sums(folder, names, fetched=encoder)
    _require_named_encoder(folder, encoder)
    _require_own_files(folder, names)
    require_own_configs(folder)
    models = [folder / name for name in models_of(names)]
    for model in models:
        read_checkpoint(model)
    if encoder and not encoder.endswith(".safetensors"):  # which can hold nothing but numbers
        read_checkpoint(folder / encoder)
    learnt = _learnt_together(folder, models) if ENSEMBLE in names else {}
    abouts = [{**(read_about(model) or {}), **learnt} for model in models]
    for model, about in zip(models, abouts, strict=True):
        if "network_def" not in about:
            raise ValueError(f"{model} does not say what its network is; {PACKED_AGAIN}")
        if foreign := foreign_code(trained_settings(about)):
            raise ValueError(f"{model} would run {foreign}, which is no part of this bundle; {PACKED_AGAIN}")
    require_own_metadata(folder, abouts)
    doubts = _compared_with_this_version(folder, names)
    if not doubts:
        _require_baked(folder, names, abouts)
    return Package(models, folder / encoder if encoder else None, doubts)


def _learnt_together(folder: Path, models: list[Path]) -> dict[str, Any]:
    read_package_json(folder / ENSEMBLE)
    learnt = read_ensemble(folder / ENSEMBLE, models)
    if learnt is None:
        raise ValueError(f"{folder / ENSEMBLE} is not of the networks of this package; {PACKED_AGAIN}")
    if foreign := foreign_code(learnt):
        raise ValueError(f"{folder / ENSEMBLE} would run {foreign}, which is no part of this bundle; {PACKED_AGAIN}")
    return learnt


def _require_named_encoder(folder: Path, encoder: str | None) -> None:
    """It need not be listed where it was fetched; then the metadata, which are, have its sum."""
    if encoder is None:
        return
    named = read_package_json(folder / METADATA).get("encoder")
    due = {"weights": encoder, "sha256": file_digest(folder / encoder)}
    if not isinstance(named, dict) or {key: named.get(key) for key in due} != due:
        raise ValueError(f"{folder / encoder} is not the file of the slice encoder that {METADATA} names; {PACKED_AGAIN}")


def _require_own_files(folder: Path, names: list[str]) -> None:
    """Those that programs run or follow, though they are no code."""
    for name in ("configs/logging.conf", LARGE_FILES):  # Python evaluates what stands in the first, MONAI fetches the second
        if name in names and (folder / name).read_bytes() != (BUNDLE_ROOT / name).read_bytes():
            raise ValueError(f"{folder / name} is not this bundle's; {PACKED_AGAIN}")
    if wrong := wrong_requirement((folder / REQUIREMENTS).read_text(encoding="utf-8", errors="replace")):
        raise ValueError(f"{folder / REQUIREMENTS} may name versions of what this bundle needs, got {wrong!r}; {PACKED_AGAIN}")


def _compared_with_this_version(folder: Path, names: list[str]) -> list[str]:
    """The package's code is this bundle's, byte for byte; or a doubt, where it is of another version."""
    version, known = read_package_json(folder / METADATA)["version"], read_config(CONFIGS / "metadata.json")["version"]
    if version != known:
        return [
            f"the code in {folder} is of SAM-3D {version}, and this is {known}: nobody compared it. The network can be used "
            f"here; run the package by itself only if you trust its sender"
        ]
    for name in names:
        own = BUNDLE_ROOT / name
        if name.startswith("scripts/") and (not own.is_file() or own.read_bytes() != (folder / name).read_bytes()):
            raise ValueError(f"{folder / name} is not the code of SAM-3D {known}; {PACKED_AGAIN}")
    return []


def _require_baked(folder: Path, names: list[str], abouts: list[dict]) -> None:
    """Its configs say what its networks say, as packaging wrote them."""
    due = baked_configs(abouts, models_of(names), None)
    for name in RUNS:
        written, meant = read_package_json(folder / name), due[name]
        keys = dict.fromkeys([*written, *meant])
        # where the weights of the encoder lie, packaging was told
        if different := [key for key in keys if key != "encoder_weights" and written.get(key) != meant.get(key)]:
            raise ValueError(f"{folder / name} says something else of {different[0]} than its network; {PACKED_AGAIN}")
