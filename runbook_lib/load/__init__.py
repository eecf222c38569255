"""Load tests: an interface beside its engines, and the charts."""
