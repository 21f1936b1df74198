"""What an operator asks of the hub."""
