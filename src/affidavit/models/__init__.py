"""Floor 3½: which model is asked, when another one is, within what time and money. Between ``runs`` and ``ask``."""
