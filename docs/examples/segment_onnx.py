"""A NIfTI image and an exported network -> the mask that `sam3d segment` writes: by numpy, nibabel and onnxruntime alone.

python segment_onnx.py IMAGE.nii.gz MODEL.onnx MASK.nii.gz
"""

import json
import sys

import nibabel as nib
import numpy as np
import onnxruntime

image, session = nib.load(sys.argv[1]), onnxruntime.InferenceSession(sys.argv[2])
about = json.loads(session.get_modelmeta().custom_metadata_map["sam3d"])
intensity, plane, depth = about["intensity"], about["spatial_size"], about["roi_depth"]
assert intensity["_target_"] == "ScaleIntensityRangePercentilesd" and max(about["spacing"]) < 0 and not about["regions"]
assert about["modalities"] == 1 and about["part"] == "network" and about["plane"] == plane
assert not about["cleaning"] and about["inferer"]["mode"] == "windows"


def resized(volume, axis, size):  # linearly, pixels' centres in the middle
    at = np.clip((np.arange(size) + 0.5) * volume.shape[axis] / size - 0.5, 0, volume.shape[axis] - 1)
    low, weight = at.astype(int), (at % 1).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(3)])
    return volume.take(low, axis) * (1 - weight) + volume.take(np.minimum(low + 1, volume.shape[axis] - 1), axis) * weight


turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(about["axcodes"]))
volume = nib.apply_orientation(image.get_fdata(dtype=np.float32), turn)
low, high = np.percentile(volume, [intensity["lower"], intensity["upper"]])
volume, own = np.clip((volume - low) / (high - low), 0, 1).astype(np.float32), volume.shape
size = [max(round(length * min(plane[0] / own[0], plane[1] / own[1])), 1) for length in own[:2]]
spare = [plane[0] - size[0], plane[1] - size[1], max(depth - own[2], 0)]
volume = np.pad(resized(resized(volume, 0, size[0]), 1, size[1]), [(s // 2, s - s // 2) for s in spare])

bells = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (0.125 * n)) ** 2) for n in (*plane, depth)]
bell = np.maximum(np.einsum("h,w,d->hwd", *bells), 1e-3).astype(np.float32)  # the weight of a window's voxels
logits, weights = 0, np.zeros(volume.shape, np.float32)
step = max(int(depth * (1 - about["inferer"]["overlap"])), 1)
for start in sorted({min(start, volume.shape[2] - depth) for start in range(0, volume.shape[2], step)}):
    window = volume[None, None, ..., start : start + depth]
    found = np.zeros((len(about["labels"]), *volume.shape), np.float32)
    found[..., start : start + depth] = session.run(None, {"volume": window})[0][0] * bell
    logits, weights[..., start : start + depth] = logits + found, weights[..., start : start + depth] + bell

mask = np.argmax(logits / weights, 0)
mask = mask[tuple(slice(s // 2, s // 2 + n) for s, n in zip(spare, (*size, own[2]), strict=True))]
for axis in (0, 1):  # the nearest pixel's
    mask = mask.take(((np.arange(own[axis]) + 0.5) * mask.shape[axis] / own[axis]).astype(int), axis)
mask = np.array([int(value) for value in about["labels"]], np.uint8)[mask]
back = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt(about["axcodes"]), nib.io_orientation(image.affine))
nib.save(nib.Nifti1Image(nib.apply_orientation(mask, back), image.affine), sys.argv[3])
