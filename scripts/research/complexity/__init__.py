"""How decoders of convolutions and of attention grow with size: `python -m scripts.research.complexity`."""
