"""An item's bytes to its text and the blocks in it.

``pool.py`` is how the rest of the system parses: in limited processes, which alone load the parsers (``read.py``).
"""

LONGEST_WORDS = 1_000
"""Characters of a title and of each heading above a block that are kept."""
