"""Speed and memory of the product against other implementations: `python -m scripts.research.benchmark`."""
