"""What the developers of affidavit run; not part of the package."""
