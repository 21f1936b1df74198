"""Outbound, one file for each transport. A connector fits the ports of the exchange by its shape."""
