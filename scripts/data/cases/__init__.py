"""Cases: found, listed, split, checked and read. A case is an image, perhaps with its label or reference."""
