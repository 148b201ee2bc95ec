"""What can be asked of a workspace over the network: one table, from which every surface is made."""
