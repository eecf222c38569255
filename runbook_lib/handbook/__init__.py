"""The handbook: pages for the next person, written from the environment, the service and the runbook itself."""
