"""The console: pages for people, made by the server from the same operations as everything else."""
