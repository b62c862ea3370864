"""A path -> an image's header, and the way to its voxels: one file for each format, `open_image` before them.

path -> open_image -> nifti_file (nifti_placement) | itk_file | dicom_series -> ImageFile
dicom_series = dicom_slice -> dicom_frames -> dicom_grid
"""
