"""What can be learned: one task a file, all on one engine."""
