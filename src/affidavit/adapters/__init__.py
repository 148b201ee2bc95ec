"""Floor 5: back-ends. They know the ports and the domain, and nothing else."""
