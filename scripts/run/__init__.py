"""What a run is told to do, and how it ends: settings checked and compared, errors in a sentence, an orderly end on signals.

Imports nothing: who needs a name or a sentence does not wait for torch and MONAI, which some of these modules import.
"""
