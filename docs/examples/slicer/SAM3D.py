"""3D Slicer: the loaded volume -> `sam3d segment`, in a Python of its own -> a segmentation with the names of the labels."""

import json
import subprocess
import tempfile
from pathlib import Path

import ctk
import qt
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleLogic, ScriptedLoadableModuleWidget


class SAM3D(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "SAM-3D"
        parent.categories = ["Segmentation"]
        parent.helpText = "Segments a volume with a network that was trained by SAM-3D. Research only, not a medical device."


class SAM3DWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.volume = slicer.qMRMLNodeComboBox()
        self.volume.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        self.volume.setMRMLScene(slicer.mrmlScene)
        self.sam3d, self.checkpoint = (ctk.ctkPathLineEdit() for _ in range(2))
        self.sam3d.settingKey, self.checkpoint.settingKey = "SAM3D/command", "SAM3D/checkpoint"  # remembered by Slicer
        self.apply = qt.QPushButton("Segment")
        self.apply.connect("clicked()", self.segment)
        form = qt.QFormLayout()
        form.addRow("Volume:", self.volume)
        form.addRow("sam3d (ENVIRONMENT/bin/sam3d):", self.sam3d)
        form.addRow("Network (model.pt or a package):", self.checkpoint)
        form.addRow(self.apply)
        self.layout.addLayout(form)
        self.layout.addStretch(1)

    def segment(self):
        with slicer.util.tryWithErrorDisplay("SAM-3D did not segment this volume.", waitCursor=True):
            SAM3DLogic().segment(self.volume.currentNode(), self.sam3d.currentPath, self.checkpoint.currentPath)


class SAM3DLogic(ScriptedLoadableModuleLogic):
    def segment(self, volume, sam3d, checkpoint):
        """volume: a vtkMRMLScalarVolumeNode -> a vtkMRMLSegmentationNode. RuntimeError: with the sentence of a refusal."""
        with tempfile.TemporaryDirectory() as folder:
            image, masks = Path(folder, "volume.nrrd"), Path(folder, "masks")
            slicer.util.exportNode(volume, str(image))
            words = [sam3d, "segment", str(image), "--checkpoint", checkpoint, "--output", str(masks)]
            process = slicer.util.launchConsoleProcess(words)  # with the environment of before Slicer's own Python
            try:
                slicer.util.logProcessOutput(process)
            except subprocess.CalledProcessError as error:
                report = masks / "report.json"
                refused = json.loads(report.read_text()) if report.is_file() else []
                raise RuntimeError("; ".join(case["reason"] for case in refused) or "see the Python console") from error
            names = names_in_masks(json.loads((masks / "preset.json").read_text()))
            return self.show(volume, masks / "volume_seg.nii.gz", names)

    def show(self, volume, mask, names):
        colours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "SAM-3D labels")
        colours.SetTypeToUser()
        colours.SetNumberOfColors(max(names) + 1)
        colours.SetNamesInitialised(True)
        anatomy = slicer.mrmlScene.GetNodeByID("vtkMRMLColorTableNodeFileGenericAnatomyColors.txt")
        for value, name in names.items():
            colour = [0.0] * 4
            anatomy.GetColor(value, colour)
            colours.SetColor(value, name, *colour[:3], 1.0)
        labels = slicer.util.loadLabelVolume(str(mask))
        labels.GetDisplayNode().SetAndObserveColorNodeID(colours.GetID())
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.GetName()} by SAM-3D")
        segmentation.CreateDefaultDisplayNodes()
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labels, segmentation)  # names by value
        slicer.mrmlScene.RemoveNode(labels)
        slicer.mrmlScene.RemoveNode(colours)
        return segmentation


def names_in_masks(preset):
    """The preset.json beside the masks -> value -> name. Merged labels have the lowest of their values."""
    values = {name: int(value) for value, name in preset["labels"].items()}
    merged = preset.get("merge_labels") or {name: [name] for name, value in values.items() if value}
    return {min(values.get(label, label) for label in labels): name for name, labels in merged.items()}
