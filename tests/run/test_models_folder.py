"""Weights lie in the bundle, unless pip installed it: then among the user's files, and an update does not remove them."""

from pathlib import Path

import pytest
from conftest import ROOT
from monai.bundle import ConfigParser

from scripts.run.models_folder import is_installed, models_folder


def test_a_copy_of_the_bundle_holds_its_weights(tmp_path: Path) -> None:
    (tmp_path / "other_tool-1.0.dist-info").mkdir()
    bundle = tmp_path / "sam3d_bundle"
    assert not is_installed(bundle)
    assert models_folder(bundle) == f"{bundle}/models"
    assert models_folder(".") == "./models"


def test_an_installed_bundle_holds_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, appauthor: tmp_path / "cache" / name)
    (tmp_path / "sam3d_bundle-0.2.0.dist-info").mkdir()
    assert is_installed(tmp_path / "sam3d_bundle")
    assert models_folder(tmp_path / "sam3d_bundle") == str(tmp_path / "cache" / "sam3d-bundle" / "models")


@pytest.mark.parametrize("config", ["train.json", "inference.json"])
def test_a_config_looks_in_this_folder_or_in_the_one_that_a_user_names(config: str) -> None:
    def weights(**given: str) -> str:
        parser = ConfigParser()
        parser.read_config(ROOT / "configs" / config)
        parser.update({"bundle_root": str(ROOT), **given})
        return parser.get_parsed_content("encoder_weights")

    assert weights() == f"{ROOT}/models/sam_vit_b_01ec64.pth"
    assert weights(models_dir="/data/weights") == "/data/weights/sam_vit_b_01ec64.pth"
