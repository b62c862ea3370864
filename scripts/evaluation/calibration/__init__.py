"""Out-of-fold cases -> a temperature, how far a mask can be trusted, and how it is cleaned.

cases that `SampledCases` kept -> `calibrated` -> what a checkpoint is stamped with, and the numbers of a report
"""
