"""The database: its engine and its tables."""
