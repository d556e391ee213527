"""From a downloaded data set to LMDB or folders that BasicSR reads; the training data of runs that resume."""
