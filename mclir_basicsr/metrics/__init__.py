"""What validation measures; knows neither torch nor BasicSR."""
