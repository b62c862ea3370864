"""A path -> an image's header, and the way to its voxels: one file for each format, `open_image` before them.

path -> open_image -> nifti_file (nifti_pair, nifti_placement) | itk_file (itk_header) | dicom_series -> ImageFile
data_file finds the second file of an image in two.
dicom_series = dicom_slice -> dicom_frames -> dicom_grid; dicom_pixels -> frame_decoder -> decode_frames, in a child process
"""
