"""SAM-3D, a MONAI bundle for volumetric medical segmentation.

    file -> data -> volume -> networks.SAMSliceEncoder -> embeddings -> networks.ResidualDecoder -> logits
                                                                                 training: -> losses
                                                                inference: -> argmax -> data -> mask file

Other decoders of the embeddings and whole other networks stand in networks/ too, behind AnySize: volume -> logits.

The frozen encoder need not run in every step: data.EmbeddingCache stores embeddings once, data.DrawEmbeddingsd draws crops.

The configs wire these parts together; nothing in here knows a config. The modules beside these folders serve all of them: whole
files (atomic_write, checkpoint_file, file_digest), one run for a folder (folder_lock), errors in a sentence (plain_errors,
close_names, disk_errors, end_on_signal), and what a run is configured to do (check_config, running_config).
"""
