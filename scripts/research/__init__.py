"""The laboratory: networks to compare with, and what measures the product. It imports the product, which never imports it."""
