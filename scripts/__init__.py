"""SAM-3D, a MONAI bundle for volumetric medical segmentation.

    file -> data -> volume -> networks.SAMSliceEncoder -> embeddings -> networks.ResidualDecoder -> logits
                                                                                 training: -> losses
                                                                inference: -> argmax -> data -> mask file

The frozen encoder need not run in every step: data.EmbeddingCache stores embeddings once, data.DrawEmbeddingsd draws crops.

The configs wire these parts together. `data`, `networks`, `weights`, `losses`, `inferers`, `handlers`, `evaluation` and
`packages` do not know each other. They stand on `files` (a file is whole or not there), `run` (what a run is told to do, how
it ends) and `basics` (what several of them share). `tools` is what a user types and sees all of them. `research` studies the
product, which does without it.
"""
