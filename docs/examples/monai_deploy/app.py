"""An application of MONAI Deploy that segments the scans of its input folder with a package of SAM-3D: docs/consumers.md.

python app.py --input SCANS --output MASKS --model PACKAGE
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application, Fragment, Operator


class PackageOperator(Operator):
    """Runs the package as its model card says, in a process of its own, so that its own code reads, checks and writes.

    MONAI Deploy's `MonaiBundleInferenceOperator` would leave that to others: it gives transforms an image in memory.
    """

    def __init__(self, fragment: Fragment, *args: Any, package: Path, scans: Path, masks: Path, **kwargs: Any) -> None:
        self.package, self.scans, self.masks = package, scans, masks
        super().__init__(fragment, *args, **kwargs)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        options = {"config_file": "configs/inference.json", "input": str(self.scans), "output_dir": str(self.masks)}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        subprocess.run([sys.executable, "-m", "monai.bundle", "run", "inference", *words], cwd=self.package, check=True)


class SegmentationApp(Application):
    def compose(self) -> None:
        context = Application.init_app_context(self.argv)
        places = {"package": context.model_path, "scans": context.input_path, "masks": context.output_path}
        absolute = {name: Path(place).resolve() for name, place in places.items()}
        self.add_operator(PackageOperator(self, CountCondition(self, 1), name="segmentation", **absolute))


if __name__ == "__main__":
    SegmentationApp().run()
