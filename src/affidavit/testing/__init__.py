"""Beside the floors: conformance suites for ports, the cast, a fixed clock."""
