"""The record of a run: events, masking, the archive and its manifest."""
