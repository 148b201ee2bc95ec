"""Language models of several vendors behind ``ports.model``, each on the vendor's own SDK, all over one guarded connection."""
