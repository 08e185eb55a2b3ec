"""How fast a model is, and how sure that is. Pure: no device, no clock, no numpy."""
