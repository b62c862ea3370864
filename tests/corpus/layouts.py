"""Public datasets as they are laid out, in tiny volumes: which files there are, and which of them belong together."""

import locale
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk

SHAPE = (12, 10, 8)
IMAGE, LABEL, MASK, OTHER_GRID = "image", "label", "mask", "other grid"  # what is written into a further file
STRUCTURES = 3  # slabs beside each other


@dataclass(frozen=True)
class Layout:
    """Names hold {c}, a case. images: of one case, in the order of channels. label: of the case; or structures, to be merged.

    others: further files of each case and what is in them, which belong to no pair. unlabelled: images without a label.
    patterns: of images and labels, as a user would write them, where they are not those names with {case} for {c}.
    content: of a dataset.json beside them. refused: words of the refusal that is due instead of pairs.
    """

    name: str
    cases: Sequence[str]
    images: Sequence[str]
    label: str = ""
    structures: Sequence[str] = ()
    others: dict[str, str] = field(default_factory=dict)
    unlabelled: Sequence[str] = ()
    content: dict[str, Any] | None = None
    refused: str = ""
    patterns: tuple[list[str], str] | None = None

    def asked(self) -> tuple[list[str], str]:
        if self.patterns:
            return self.patterns
        images = [name.removesuffix("/0.dcm").replace("{c}", "{case}") for name in self.images]
        return images, (self.label or str(Path(self.structures[0]).parent / "*")).replace("{c}", "{case}")

    def pairs(self) -> set[tuple[tuple[str, ...], str | None]]:
        """What has to come out; None for a label map that is merged."""
        return {
            (tuple(_put(name, case) for name in self.images), _put(self.label, case) if self.label else None)
            for case in self.cases
        }

    def write(self, folder: Path) -> None:
        for k, case in enumerate(self.cases):
            for name in self.images:
                write(folder / _put(name, case), IMAGE, k)
            if self.label:
                write(folder / _put(self.label, case), LABEL, k)
            for j, name in enumerate(self.structures):
                write(folder / _put(name, case), f"structure {j}", k)
            for name, kind in self.others.items():
                write(folder / _put(name, case), kind, k)
        for k, name in enumerate(self.unlabelled):
            write(folder / name, IMAGE, 100 + k)


def _put(name: str, case: str) -> str:
    group, _, last = case.rpartition("/")
    return name.replace("{c}", case).replace("{g}", group).replace("{n}", last)


def write(path: Path, kind: str, seed: int) -> None:
    generator = np.random.default_rng([seed, *path.name.encode()])
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (9, 9, 9) if kind == OTHER_GRID else SHAPE
    voxels: np.ndarray
    if kind in (IMAGE, OTHER_GRID):
        voxels = generator.integers(0, 1000, shape).astype(np.int16)
    else:
        voxels = np.zeros(shape, np.uint8)
        if kind.startswith("structure"):
            k = int(kind.split()[1])
            voxels[3 * k : 3 * k + 4, 2:8, 2:6] = 1  # each shares a slice with the next one
        else:
            voxels[2:9, 2:8, 1:7] = 1
            voxels[4:6, 3:5, 2:4] = 1 if kind == MASK else 2
    if path.suffix == ".dcm":
        write_series(path.parent, voxels)
    elif path.name.endswith((".nii", ".nii.gz", ".hdr")):
        nib.save((nib.Nifti1Pair if path.suffix == ".hdr" else nib.Nifti1Image)(voxels, np.diag([1.0, 1.0, 1.25, 1.0])), path)
    else:
        image = sitk.GetImageFromArray(voxels.T)
        image.SetSpacing((1.0, 1.0, 1.25))
        image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
        sitk.WriteImage(image, path, useCompression="LUNA16" in str(path))  # whose lungs are in .zraw


def write_series(folder: Path, voxels: np.ndarray) -> None:
    """Slices as the affine of the NIfTI files places them."""
    from pydicom.uid import generate_uid

    before = locale.setlocale(locale.LC_ALL)
    writer, series = sitk.ImageFileWriter(), generate_uid()
    writer.KeepOriginalImageUIDOn()
    for k in range(voxels.shape[2]):
        image = sitk.GetImageFromArray(np.ascontiguousarray(voxels[:, :, k].T)[None])
        tags = {"0008|0060": "CT", "0020|000e": series, "0020|000d": series, "0008|0016": "1.2.840.10008.5.1.4.1.1.2"}
        tags |= {"0020|0037": "-1\\0\\0\\0\\-1\\0", "0020|0032": f"0\\0\\{1.25 * k}", "0020|0013": str(k)}
        tags |= {"0008|0018": generate_uid(), "0018|0050": "1.25"}
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{k:03d}.dcm"))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, before)  # GDCM sets that of the process to C


THREE = ["001", "002", "003"]
ORGANS = ["liver", "spleen", "rib_left_1"]

LAYOUTS = [
    Layout("msd", THREE, ["imagesTr/spleen_{c}.nii.gz"], "labelsTr/spleen_{c}.nii.gz", unlabelled=["imagesTs/spleen_9.nii.gz"]),
    Layout(
        "msd_with_json",
        THREE,
        ["imagesTr/spleen_{c}.nii.gz"],
        "labelsTr/spleen_{c}.nii.gz",
        unlabelled=["imagesTs/spleen_9.nii.gz"],
        content={
            "labels": {"0": "background", "1": "spleen", "2": "cyst"},
            "modality": {"0": "CT"},
            "training": [{"image": f"./imagesTr/spleen_{c}.nii.gz", "label": f"./labelsTr/spleen_{c}.nii.gz"} for c in THREE],
            "test": ["./imagesTs/spleen_9.nii.gz"],
        },
    ),
    Layout(
        "nnunet_v1",
        THREE,
        ["imagesTr/la_{c}_0000.nii.gz"],
        "labelsTr/la_{c}.nii.gz",
        content={
            "labels": {"0": "background", "1": "a", "2": "b"},
            "modality": {"0": "MRI"},
            "training": [{"image": f"./imagesTr/la_{c}.nii.gz", "label": f"./labelsTr/la_{c}.nii.gz"} for c in THREE],
        },
    ),
    Layout(
        "nnunet_v2",
        THREE,
        ["imagesTr/p_{c}_0000.nii.gz", "imagesTr/p_{c}_0001.nii.gz"],
        "labelsTr/p_{c}.nii.gz",
        unlabelled=["imagesTs/p_9_0000.nii.gz", "imagesTs/p_9_0001.nii.gz"],
        content={
            "channel_names": {"0": "T2", "1": "ADC"},
            "labels": {"background": 0, "PZ": 1, "TZ": 2},
            "file_ending": ".nii.gz",
        },
    ),
    Layout(
        "nnunet_v2_dataset",
        THREE,
        ["raw/{c}/ct.nii.gz"],
        "raw/{c}/organs.nii.gz",
        content={
            "labels": {"background": 0, "a": 1, "b": 2},
            "dataset": {c: {"images": [f"raw/{c}/ct.nii.gz"], "label": f"raw/{c}/organs.nii.gz"} for c in THREE},
        },
    ),
    Layout(
        "monai_folds",
        THREE,
        ["case{c}/a.nii.gz", "case{c}/b.nii.gz"],
        "case{c}/c.nii.gz",
        content={
            "training": [
                {"fold": i, "image": [f"case{c}/a.nii.gz", f"case{c}/b.nii.gz"], "label": f"case{c}/c.nii.gz"}
                for i, c in enumerate(THREE)
            ]
        },
    ),
    Layout(
        "brats18",
        ["HGG/Brats18_2013_10_1", "HGG/Brats18_CBICA_AAB_1", "LGG/Brats18_TCIA04_221_1"],
        [f"{{c}}/{{n}}_{name}.nii.gz" for name in ("flair", "t1", "t1ce", "t2")],
        "{c}/{n}_seg.nii.gz",
        patterns=(
            ["{case}/*_flair.nii.gz", "{case}/*_t1.nii.gz", "{case}/*_t1ce.nii.gz", "{case}/*_t2.nii.gz"],
            "{case}/*_seg.nii.gz",
        ),
    ),
    Layout(
        "brats20",
        THREE,
        [f"TrainingData/BraTS20_Training_{{c}}/BraTS20_Training_{{c}}_{name}.nii" for name in ("flair", "t1", "t1ce", "t2")],
        "TrainingData/BraTS20_Training_{c}/BraTS20_Training_{c}_seg.nii",
        unlabelled=[
            f"ValidationData/BraTS20_Validation_001/BraTS20_Validation_001_{n}.nii" for n in ("flair", "t1", "t1ce", "t2")
        ],
    ),
    Layout(
        "brats21",
        ["BraTS2021_00001", "BraTS2021_00002", "BraTS2021_00010"],
        [f"{{c}}/{{c}}_{name}.nii.gz" for name in ("flair", "t1", "t1ce", "t2")],
        "{c}/{c}_seg.nii.gz",
    ),
    Layout(
        "brats23",
        ["BraTS-GLI-00000-000", "BraTS-GLI-00002-000", "BraTS-GLI-00002-001"],
        [f"{{c}}/{{c}}-{name}.nii.gz" for name in ("t1c", "t1n", "t2f", "t2w")],
        "{c}/{c}-seg.nii.gz",
    ),
    Layout(
        "totalsegmentator",
        ["s0000", "s0001", "s0003"],
        ["{c}/ct.nii.gz"],
        structures=[f"{{c}}/segmentations/{organ}.nii.gz" for organ in ORGANS],
    ),
    Layout(
        "verse",
        ["004", "005", "006"],
        ["rawdata/sub-verse{c}/sub-verse{c}_ct.nii.gz"],
        "derivatives/sub-verse{c}/sub-verse{c}_seg-vert_msk.nii.gz",
    ),
    Layout(
        "wmh",
        ["Utrecht/0", "Singapore/50", "Amsterdam/100"],
        ["{c}/pre/FLAIR.nii.gz", "{c}/pre/T1.nii.gz"],
        "{c}/wmh.nii.gz",
        others={
            "{c}/orig/FLAIR.nii.gz": IMAGE,
            "{c}/orig/T1.nii.gz": OTHER_GRID,
            "{c}/orig/3DT1.nii.gz": OTHER_GRID,
            "{c}/orig/3DT1_mask.nii.gz": MASK,
        },
    ),
    Layout("promise12", ["00", "01", "02"], ["Case{c}.mhd"], "Case{c}_segmentation.mhd", unlabelled=["Case30.mhd"]),
    Layout(
        "promise12_by_parts",
        ["Part1/Case00", "Part1/Case01", "Part2/Case17"],
        ["TrainingData_{c}.mhd"],
        "TrainingData_{c}_segmentation.mhd",
        unlabelled=["TestData/Case00.mhd"],
    ),
    Layout(
        "flare22",
        ["0001", "0002", "0003"],
        ["images/FLARE22_Tr_{c}_0000.nii.gz"],
        "labels/FLARE22_Tr_{c}.nii.gz",
        unlabelled=["unlabelled/Case_00001_0000.nii.gz", "unlabelled/Case_00002_0000.nii.gz"],
    ),
    Layout("lits", ["0", "1", "10"], ["volumes/volume-{c}.nii"], "segmentations/segmentation-{c}.nii"),
    Layout("lits_batches", ["0", "1", "10"], ["Training Batch 1/volume-{c}.nii"], "Training Batch 1/segmentation-{c}.nii"),
    Layout("kits19", ["case_00000", "case_00001", "case_00002"], ["{c}/imaging.nii.gz"], "{c}/segmentation.nii.gz"),
    Layout(
        "kits21",
        ["case_00000", "case_00001", "case_00002"],
        ["{c}/imaging.nii.gz"],
        "{c}/aggregated_MAJ_seg.nii.gz",
        others={
            "{c}/aggregated_AND_seg.nii.gz": LABEL,
            "{c}/aggregated_OR_seg.nii.gz": LABEL,
            "{c}/segmentations/kidney_instance-1_annotation-1.nii.gz": MASK,
            "{c}/segmentations/kidney_instance-1_annotation-2.nii.gz": MASK,
        },
    ),
    Layout(
        "isles22",
        ["0001", "0002", "0003"],
        [f"rawdata/sub-strokecase{{c}}/ses-0001/sub-strokecase{{c}}_ses-0001_{name}.nii.gz" for name in ("adc", "dwi")],
        "derivatives/sub-strokecase{c}/ses-0001/sub-strokecase{c}_ses-0001_msk.nii.gz",
        others={"rawdata/sub-strokecase{c}/ses-0001/sub-strokecase{c}_ses-0001_flair.nii.gz": OTHER_GRID},
    ),
    Layout(
        "amos22",
        ["Tr/0001", "Tr/0004", "Va/0008"],
        ["images{g}/amos_{n}.nii.gz"],
        "labels{g}/amos_{n}.nii.gz",
        unlabelled=["imagesTs/amos_0002.nii.gz"],
        patterns=(["images*/amos_{case}.nii.gz"], "labels*/amos_{case}.nii.gz"),
    ),
    Layout(
        "acdc",
        ["001/frame01", "001/frame12", "002/frame01"],
        ["training/patient{g}/patient{g}_{n}.nii.gz"],
        "training/patient{g}/patient{g}_{n}_gt.nii.gz",
        patterns=(["training/*/{case}.nii.gz"], "training/*/{case}_gt.nii.gz"),
    ),
    Layout(
        "mnms", ["A0S9V9", "A1D0Q7", "A2C0I1"], ["Training/Labeled/{c}/{c}_sa.nii.gz"], "Training/Labeled/{c}/{c}_sa_gt.nii.gz"
    ),
    Layout(
        "mnms2",
        ["001/SA_ED", "001/SA_ES", "002/SA_ED"],
        ["dataset/{g}/{g}_{n}.nii.gz"],
        "dataset/{g}/{g}_{n}_gt.nii.gz",
        patterns=(["dataset/*/{case}.nii.gz"], "dataset/*/{case}_gt.nii.gz"),
    ),
    Layout(
        "left_atrium18",
        ["0RZDK210BSMWAA6467LU", "1D7CUD1955YZPGK8XHJX", "4VTZFNI5HDR6L48MOD1R"],
        ["Training Set/{c}/lgemri.nrrd"],
        "Training Set/{c}/laendo.nrrd",
    ),
    Layout(
        "mosmed",
        ["0255", "0256", "0257"],
        ["studies/CT-1/study_{c}.nii.gz"],
        "masks/study_{c}_mask.nii.gz",
        unlabelled=["studies/CT-0/study_0001.nii.gz", "studies/CT-2/study_0301.nii.gz"],
    ),
    Layout("chaos_dicom", ["1", "2", "5"], ["Train_Sets/CT/{c}/DICOM_anon/0.dcm"], "Train_Sets/CT/{c}/Ground/liver.nii.gz"),
    Layout(
        "pancreas_ct",
        ["0001", "0002", "0003"],
        ["Pancreas-CT/PANCREAS_{c}/11-24-2015-PANCREAS{c}-Pancreas-18957/Pancreas-6350{c}/0.dcm"],
        "TCIA_pancreas_labels-02-05-2017/label{c}.nii.gz",
        patterns=(["Pancreas-CT/PANCREAS_{case}/*/*"], "TCIA_pancreas_labels-02-05-2017/label{case}.nii.gz"),
    ),
    Layout(
        "btcv",
        ["0001", "0002", "0003"],
        ["RawData/Training/img/img{c}.nii.gz"],
        "RawData/Training/label/label{c}.nii.gz",
        unlabelled=["RawData/Testing/img/img0061.nii.gz"],
    ),
    Layout(
        "luna16",
        ["1.3.6.1.4.1.14519.5.2.1.6279.6001.105756658031515062000744821260", "1.3.6.1.4.1.14519.5.2.1.6279.6001.1087"],
        ["subset0/{c}.mhd"],
        "seg-lungs-LUNA16/{c}.mhd",
    ),
    Layout(
        "segthor",
        ["01", "02", "03"],
        ["train/Patient_{c}/Patient_{c}.nii.gz"],
        "train/Patient_{c}/GT.nii.gz",
        unlabelled=["test/Patient_41.nii.gz"],
    ),
    Layout(
        "hecktor21",
        ["CHGJ007", "CHGJ008", "CHUM010"],
        ["hecktor_nii/{c}_ct.nii.gz", "hecktor_nii/{c}_pt.nii.gz"],
        "hecktor_nii/{c}_gtvt.nii.gz",
    ),
    Layout(
        "hecktor22",
        ["CHUM-001", "CHUM-002", "CHUS-003"],
        ["imagesTr/{c}__CT.nii.gz", "imagesTr/{c}__PT.nii.gz"],
        "labelsTr/{c}.nii.gz",
    ),
    Layout("ixi", ["IXI002-Guys-0828-T1", "IXI012-HH-1211-T1"], ["{c}.nii.gz"], refused="there must be labels"),
    Layout("ixi_labelled", ["IXI002-Guys-0828", "IXI012-HH-1211"], ["T1/{c}-T1.nii.gz"], "brain_seg/{c}-T1_seg.nii.gz"),
    Layout(
        "oasis",
        ["OASIS_OAS1_0001_MR1", "OASIS_OAS1_0002_MR1", "OASIS_OAS1_0003_MR1"],
        ["{c}/aligned_norm.nii.gz"],
        "{c}/aligned_seg35.nii.gz",
    ),
    Layout(
        "atlas2",
        ["R001/sub-r001s001", "R001/sub-r001s002", "R002/sub-r002s001"],
        ["Training/{g}/{n}/ses-1/anat/{n}_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz"],
        "Training/{g}/{n}/ses-1/anat/{n}_ses-1_space-MNI152NLin2009aSym_label-L_desc-T1lesion_mask.nii.gz",
        patterns=(["Training/*/{case}/ses-1/anat/*_T1w.nii.gz"], "Training/*/{case}/ses-1/anat/*_mask.nii.gz"),
    ),
    Layout(
        "crossmoda",
        ["1", "2", "10"],
        ["source_training/crossmoda_{c}_ceT1.nii.gz"],
        "source_training/crossmoda_{c}_Label.nii.gz",
        unlabelled=["target_training/crossmoda_106_hrT2.nii.gz", "target_validation/crossmoda_211_hrT2.nii.gz"],
    ),
    Layout("iseg", ["1", "2", "10"], ["subject-{c}-T1.nii", "subject-{c}-T2.nii"], "subject-{c}-label.nii"),
    Layout(
        "iseg17",
        ["1", "2", "10"],
        ["iSeg-2017-Training/subject-{c}-T1.hdr", "iSeg-2017-Training/subject-{c}-T2.hdr"],
        "iSeg-2017-Training/subject-{c}-label.hdr",
    ),
    Layout(
        "mrbrains18",
        ["1", "4", "14"],
        [f"training/{{c}}/pre/{name}.nii.gz" for name in ("FLAIR", "IR", "reg_T1")],
        "training/{c}/segm.nii.gz",
        others={"training/{c}/orig/FLAIR.nii.gz": IMAGE, "training/{c}/orig/IR.nii.gz": OTHER_GRID},
    ),
    Layout("spineweb_ivd", ["01", "02", "03"], ["{c}/{c}_fat.nii", "{c}/{c}_wat.nii"], "{c}/{c}_Labels.nii"),
    Layout("ct_org", ["0", "1", "10"], ["volume-{c}.nii.gz"], "labels-{c}.nii.gz"),
    Layout(
        "word",
        ["Tr/0002", "Tr/0005", "Val/0001"],
        ["images{g}/word_{n}.nii.gz"],
        "labels{g}/word_{n}.nii.gz",
        unlabelled=["imagesTs/word_0009.nii.gz"],
        patterns=(["images*/word_{case}.nii.gz"], "labels*/word_{case}.nii.gz"),
    ),
    Layout(
        "abdomenct1k",
        ["Part1/00001", "Part1/00002", "Part2/00351"],
        ["AbdomenCT-1K-Image{g}/Case_{n}_0000.nii.gz"],
        "Mask/Case_{n}.nii.gz",
        patterns=(["*/Case_{case}_0000.nii.gz"], "Mask/Case_{case}.nii.gz"),
    ),
    Layout(
        "topcow",
        ["ct_001", "mr_001", "ct_002"],
        ["imagesTr/topcow_{c}_0000.nii.gz"],
        "cow_seg_labelsTr/topcow_{c}.nii.gz",
    ),
    Layout(
        "autopet",
        ["PETCT_0011f3deaf/03-23-2003-NA-NA-10445", "PETCT_01140d52d8/08-13-2005-NA-NA-56839"],
        ["{c}/CTres.nii.gz", "{c}/PET.nii.gz", "{c}/SUV.nii.gz"],
        "{c}/SEG.nii.gz",
        others={"{c}/CT.nii.gz": OTHER_GRID},
    ),
    Layout(
        "picai",
        ["10000/10000_1000000", "10001/10001_1000001", "10002/10002_1000002"],
        ["images/{c}_t2w.mha"],
        "picai_labels/csPCa_lesion_delineations/human_expert/resampled/{n}.nii.gz",
        others={"images/{c}_adc.mha": OTHER_GRID, "images/{c}_hbv.mha": OTHER_GRID},
        patterns=(["images/*/{case}_t2w.mha"], "picai_labels/csPCa_lesion_delineations/human_expert/resampled/{case}.nii.gz"),
    ),
    Layout("mmwhs", ["1001", "1002", "1003"], ["ct_train/ct_train_{c}_image.nii.gz"], "ct_train/ct_train_{c}_label.nii.gz"),
    Layout(
        "msseg16",
        ["Center_01/Patient_01", "Center_01/Patient_02", "Center_07/Patient_03"],
        ["{c}/Preprocessed_Data/FLAIR_preprocessed.nii.gz", "{c}/Preprocessed_Data/T1_preprocessed.nii.gz"],
        "{c}/Masks/Consensus.nii.gz",
        others={"{c}/Masks/ManualSegmentation_1.nii.gz": LABEL, "{c}/Masks/ManualSegmentation_2.nii.gz": LABEL},
    ),
    Layout("ctpelvic1k", ["0001", "0002", "0003"], ["dataset6_{c}_data.nii.gz"], "dataset6_{c}_mask_4label.nii.gz"),
    Layout("spider", ["1_t1", "1_t2", "2_t1"], ["images/{c}.mha"], "masks/{c}.mha"),
    Layout("imagecas", ["1", "2", "10"], ["{c}.img.nii.gz"], "{c}.label.nii.gz"),
    Layout("asoca", ["1", "2", "3"], ["Normal/CTCA/Normal_{c}.nrrd"], "Normal/Annotations/Normal_{c}.nrrd"),
    Layout(
        "ribfrac",
        ["1", "2", "10"],
        ["ribfrac-train-images/RibFrac{c}-image.nii.gz"],
        "ribfrac-train-labels/RibFrac{c}-label.nii.gz",
    ),
    Layout("parse22", ["PA000005", "PA000016", "PA000024"], ["{c}/image/{c}.nii.gz"], "{c}/label/{c}.nii.gz"),
    Layout("atm22", ["001", "002", "003"], ["imagesTr/ATM_{c}_0000.nii.gz"], "labelsTr/ATM_{c}_0000.nii.gz"),
    Layout("emidec", ["Case_N006", "Case_P001", "Case_P005"], ["{c}/Images/{c}.nii.gz"], "{c}/Contours/{c}.nii.gz"),
    Layout(
        "myops20",
        ["101", "102", "103"],
        [f"train25/myops_training_{{c}}_{name}.nii.gz" for name in ("C0", "DE", "T2")],
        "train25_myops_gd/myops_training_{c}_gd.nii.gz",
    ),
    Layout("sliver07", ["001", "002", "003"], ["scan/liver-orig{c}.mhd"], "label/liver-seg{c}.mhd"),
    Layout("sliver07_in_one_folder", ["001", "002", "003"], ["training/liver-orig{c}.mhd"], "training/liver-seg{c}.mhd"),
    Layout("avt", ["D1", "D2", "D3"], ["Dongyang/{c}/{c}.nrrd"], "Dongyang/{c}/{c}.seg.nrrd"),
    Layout(
        "pddca",
        ["0522c0001", "0522c0002", "0522c0003"],
        ["{c}/img.nrrd"],
        structures=[f"{{c}}/structures/{organ}.nrrd" for organ in ("BrainStem", "Chiasm", "Mandible")],
    ),
    Layout(
        "han_seg",
        ["01", "02", "03"],
        ["case_{c}/case_{c}_IMG_CT.nrrd"],
        structures=[f"case_{{c}}/case_{{c}}_OAR_{organ}.seg.nrrd" for organ in ("Brainstem", "Parotid_L", "Parotid_R")],
        patterns=(["case_{case}/*_IMG_CT.nrrd"], "case_{case}/*_OAR_*.seg.nrrd"),
    ),
    Layout(
        "isles15",
        ["1/70613", "2/70622", "3/70634"],
        ["{g}/VSD.Brain.XX.O.MR_Flair.{n}/VSD.Brain.XX.O.MR_Flair.{n}.nii"],
        "{g}/VSD.Brain_3more.XX.XX.OT.{n}1/VSD.Brain_3more.XX.XX.OT.{n}1.nii",
        patterns=(["{case}/*Flair*/*.nii"], "{case}/*OT*/*.nii"),
    ),
    Layout(
        "feta", ["001", "002", "003"], ["sub-{c}/anat/sub-{c}_rec-mial_T2w.nii.gz"], "sub-{c}/anat/sub-{c}_rec-mial_dseg.nii.gz"
    ),
    Layout(
        "final_and_original",
        THREE,
        ["images/{c}.nii.gz"],
        "labels_final/{c}.nii.gz",
        others={"labels_original/{c}.nii.gz": LABEL},
    ),
    Layout("laterality", ["P1_L", "P1_R", "P2_L"], ["scans/{c}.nii.gz"], "organs/{c}.nii.gz"),
    Layout("dicom_with_nifti", ["case01", "case02", "case03"], ["images/{c}/0.dcm"], "labels/{c}.nii.gz"),
    Layout(
        "covid20",
        ["coronacases_001", "coronacases_002", "radiopaedia_4_85506_1"],
        ["COVID-19-CT-Seg_20cases/{c}.nii.gz"],
        "Lung_and_Infection_Mask/{c}.nii.gz",
    ),
    Layout(
        "learn2reg",
        ["0001", "0002", "0003"],
        ["imagesTr/OASIS_{c}_0000.nii.gz"],
        "labelsTr/OASIS_{c}_0000.nii.gz",
        others={"masksTr/OASIS_{c}_0000.nii.gz": MASK},
    ),
    Layout(
        "flare21",
        THREE,
        ["TrainingImg/train_{c}_0000.nii.gz"],
        "TrainingMask/train_{c}.nii.gz",
        unlabelled=["ValidationImg/validation_001_0000.nii.gz"],
    ),
    Layout("flare23", THREE, ["imagesTr2200/FLARE23_{c}_0000.nii.gz"], "labelsTr2200/FLARE23_{c}.nii.gz"),
    Layout(
        "upenn",
        ["00002_11", "00003_11", "00004_11"],
        [
            "images_structural/UPENN-GBM-{c}/UPENN-GBM-{c}_FLAIR.nii.gz",
            "images_structural/UPENN-GBM-{c}/UPENN-GBM-{c}_T1.nii.gz",
        ],
        "images_segm/UPENN-GBM-{c}_segm.nii.gz",
        others={"automated_segm/UPENN-GBM-{c}_automated_approx_segm.nii.gz": LABEL},
    ),
    Layout(
        "ucsf",
        ["0004", "0005", "0007"],
        ["UCSF-PDGM-{c}_nifti/UCSF-PDGM-{c}_FLAIR.nii.gz", "UCSF-PDGM-{c}_nifti/UCSF-PDGM-{c}_T1.nii.gz"],
        "UCSF-PDGM-{c}_nifti/UCSF-PDGM-{c}_tumor_segmentation.nii.gz",
        others={"UCSF-PDGM-{c}_nifti/UCSF-PDGM-{c}_brain_segmentation.nii.gz": MASK},
    ),
    Layout(
        "mrms",
        ["01", "02", "03"],
        ["patient{c}/patient{c}_FLAIR.nii.gz", "patient{c}/patient{c}_T1W.nii.gz"],
        "patient{c}/patient{c}_consensus_gt.nii.gz",
        others={"patient{c}/patient{c}_brainmask.nii.gz": MASK},
    ),
    Layout(
        "isbi15",
        ["01_01", "01_02", "02_01"],
        ["training/preprocessed/training{c}_flair_pp.nii", "training/preprocessed/training{c}_t2_pp.nii"],
        "training/masks/training{c}_mask1.nii",
    ),
    Layout(
        "lascarqs", ["1", "2", "10"], ["train_data/train_{c}/enhanced.nii.gz"], "train_data/train_{c}/atriumSegImgMO.nii.gz"
    ),
    Layout(
        "hvsmr",
        ["0", "1", "10"],
        ["pat{c}_cropped.nii.gz"],
        "pat{c}_cropped_seg.nii.gz",
        others={"pat{c}_cropped_seg_endpoints.nii.gz": LABEL},
    ),
    Layout("mask_in_name3", THREE, ["case{c}_image.nii.gz"], "case{c}_mask_v2.nii.gz"),
    Layout(
        "several_struct_folders",
        THREE,
        ["ct/{c}.nii.gz"],
        structures=["seg/liver/{c}.nii.gz", "seg/spleen/{c}.nii.gz", "seg/kidney/{c}.nii.gz"],
        patterns=(["ct/{case}.nii.gz"], "seg/*/{case}.nii.gz"),
    ),
    Layout(
        "struct_suffix",
        THREE,
        ["{c}.nii.gz"],
        structures=["{c}_liver.nii.gz", "{c}_spleen.nii.gz"],
        patterns=(["{case}.nii.gz"], "{case}_*.nii.gz"),
    ),
    Layout(
        "visits",
        ["patient_1/visit_1", "patient_1/visit_2", "patient_2/visit_1"],
        ["{c}/flair.nii.gz", "{c}/t1.nii.gz"],
        "{c}/lesion.nii.gz",
    ),
    Layout("two_folders_content", THREE, ["A/{c}.nii.gz"], "B/{c}.nii.gz"),
    Layout("lits_flat", ["0", "1", "10"], ["volume-{c}.nii"], "segmentation-{c}.nii"),
    Layout(
        "kits23",
        ["case_00000", "case_00001"],
        ["dataset/{c}/imaging.nii.gz"],
        "dataset/{c}/segmentation.nii.gz",
        others={
            "dataset/{c}/instances/kidney_instance-1_annotation-1.nii.gz": MASK,
            "dataset/{c}/instances/kidney_instance-1_annotation-2.nii.gz": MASK,
        },
    ),
]
