"""Tool calls: the one door through which the system acts on anything outside itself."""
