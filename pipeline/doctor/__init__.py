"""What a run would read, need and take, before anything runs."""
