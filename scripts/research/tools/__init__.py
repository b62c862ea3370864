"""What the laboratory adds to the commands of `sam3d`."""
