"""An app of MONAI Label for packages of SAM-3D: docs/consumers.md says how it is started.

It differs from MONAI Label's own app `monaibundle` in three places, each of which says why.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask
from monailabel.utils.others.generic import name_to_device


class PackageInferTask(BundleInferTask):
    def __init__(self, path: str, conf: dict[str, str]) -> None:
        """With the values that masks have: MONAI Label takes the numbers of channels, others where labels have gaps."""
        super().__init__(path, conf)
        classes = self.bundle_config.get_parsed_content("classes")
        self.labels = {name: int(value) for value, name in classes.items() if int(value)}

    def run_pre_transforms(self, data: dict[str, Any], transforms: Any) -> dict[str, Any]:
        """Without MONAI Label's `image_path` meanwhile: MONAI, from 1.5.2 on, takes it for metadata of the image and fails."""
        path = data.pop("image_path")
        return {**super().run_pre_transforms(data, transforms), "image_path": path}


class PackageTrainTask(BundleTrainTask):
    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Trains in runs/TIME of the package by its own configs, which check images and labels, and adds models/TIME.pt.

        MONAI Label would hand the cases past these checks, and write over the network that you were given.
        """
        package = Path(self.bundle_path)
        training, validation = self._partition_datalist(self._fetch_datalist(request, datastore), request)
        run = package / "runs" / time.strftime("%Y%m%d_%H%M%S")
        parts = {"training": training, "validation": validation or []}
        dataset = {part: [copied(case, run / "data") for case in cases] for part, cases in parts.items()}
        (run / "data" / "dataset.json").write_text(json.dumps(dataset))
        options = {
            "config_file": "configs/train.json",
            "dataset_dir": f"{run}/data",
            "output_dir": str(run),
            "max_epochs": str(request.get("max_epochs", 50)),
            "device": name_to_device(request.get("device", "cuda")),
        }
        if request.get("pretrained", True):
            options["init_from"] = f"models/{request.get('model_filename', 'model.pt')}"
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        subprocess.run([sys.executable, "-m", "monai.bundle", "run", "training", *words], cwd=package, check=True)
        shutil.copyfile(run / "model.pt", package / "models" / f"{run.name}.pt")
        return {}


def copied(case: dict[str, str], folder: Path) -> dict[str, str]:
    """As an entry of dataset.json in `folder`: labels go on being edited, and the copy stays what the network saw."""
    for key, file in case.items():
        (folder / key).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / key)
    return {key: f"{key}/{Path(file).name}" for key, file in case.items()}


class PackagesApp(MONAILabelApp):
    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.packages = {name: str(Path(app_dir, "model", name)) for name in conf["models"].split(",")}
        super().__init__(app_dir, studies, conf, name="SAM-3D", description="Packages of SAM-3D")

    def init_infers(self) -> dict[str, PackageInferTask]:
        return {name: PackageInferTask(path, self.conf) for name, path in self.packages.items()}

    def init_trainers(self) -> dict[str, PackageTrainTask]:
        return {name: PackageTrainTask(path, self.conf) for name, path in self.packages.items()}

    def init_strategies(self) -> dict[str, First | Random]:
        return {"random": Random(), "first": First()}
