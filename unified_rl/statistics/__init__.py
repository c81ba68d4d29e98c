"""Stored runs to tables: Pass@K, Maj@K, intervals, comparisons, claims. Reads records; runs nothing, imports no torch."""
