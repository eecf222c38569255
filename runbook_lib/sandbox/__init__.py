"""The embedded stack and the demo application; imported by the command line and the tests alone."""
