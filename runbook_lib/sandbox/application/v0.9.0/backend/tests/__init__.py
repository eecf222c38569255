"""The service's own tests; they need neither PostgreSQL nor Redis."""
