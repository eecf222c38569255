"""Checks: what only observes, one module for each concern."""
