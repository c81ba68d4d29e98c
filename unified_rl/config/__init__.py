"""The configuration schema: a file per group of sections, and the ranges that they check. No torch."""
