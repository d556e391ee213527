"""What validation measures."""
