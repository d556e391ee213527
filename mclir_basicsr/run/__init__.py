"""What lets a run stop at any moment and go on as if it had not."""
