"""Measurements: how fast, how small and how good affidavit is, beside its peers. Never asserted in tests."""
