"""From a downloaded data set to LMDB or folders that BasicSR reads: off line, without torch and BasicSR."""
