"""HealthSync: a health information exchange hub that a hospital network starts with one command."""

__version__ = "0.1.0"
