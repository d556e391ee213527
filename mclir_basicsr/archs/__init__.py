"""Networks that BasicSR lacks."""
