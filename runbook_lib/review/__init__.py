"""Reading what the archive holds: reports of one run, and comparisons of several. All of it is derived."""
