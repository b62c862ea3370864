"""What a user types: `sam3d NAME` is the function NAME of the file NAME.py.

The files import what is heavy inside the functions: torch and MONAI take seconds, and help, completion and slips need neither.
"""
