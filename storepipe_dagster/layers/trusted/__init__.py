"""The trusted layer: cart lines joined from both sources, priced, each sold or rejected."""
