"""Turn option files into SPN retrainings."""
