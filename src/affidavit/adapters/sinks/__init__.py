"""Places outside where checkpoints are kept: a file, a git folder, a webhook, a mailbox, a witness."""
