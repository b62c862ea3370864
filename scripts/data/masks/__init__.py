"""A mask -> a file that lies on its image, the record of what it was made from, and the report on all cases."""
