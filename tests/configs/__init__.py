"""Tests of the files in configs/."""
