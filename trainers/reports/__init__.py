"""Reports on sweeps: what their results say, beside what the papers printed.

`results` reads the directory of a sweep, `published` the papers' tables, `statistics` counts and
tests, `tables` says it in tables, `figures` in pictures, and `formats` writes the tables down. The
program is `python -m trainers.report`. Nothing here imports TensorFlow.
"""
