"""Benchmarks: what the program reaches, each beside its ceiling in the same run."""
