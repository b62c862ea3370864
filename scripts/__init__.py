"""SAM-3D, a MONAI bundle for volumetric medical segmentation.

    file -> data -> volume -> networks.SAMSliceEncoder -> embeddings -> networks.ResidualDecoder -> logits
                                                                                 training: -> losses
                                                                inference: -> argmax -> data -> mask file

The frozen encoder need not run in every step: data.EmbeddingCache stores embeddings once, data.DrawEmbeddingsd draws crops.

The configs wire these parts together; nothing in here knows a config.
"""
