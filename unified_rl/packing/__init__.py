"""Packed rows: segments of sequences, which share a row, which rows a micro-batch. No model here."""
