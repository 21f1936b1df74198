"""What people decide about identity, as work, and the report of duplicates. Its face is that of `domains.identity`."""
