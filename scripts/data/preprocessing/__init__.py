"""Transforms of a volume before the network that MONAI does not have, and a digest of all of them."""
