"""Parallel data: where the sentence pairs come from and which of them are used."""
