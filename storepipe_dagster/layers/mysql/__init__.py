"""The captures as database tables."""
