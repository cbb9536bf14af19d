"""The refined layer: the figures that people read, all computed from `trusted/sales`."""
