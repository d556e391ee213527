"""What can be known of a run before it starts: every fault, in one message."""
