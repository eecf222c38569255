"""Actions: what changes the world, each followed in its notebook by the checks that prove it."""
