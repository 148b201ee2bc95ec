"""Floor 3: the step recorder."""
