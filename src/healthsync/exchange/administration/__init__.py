"""What operators ask of the hub."""
