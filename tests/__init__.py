"""Tests, mirroring the tree of the program."""
