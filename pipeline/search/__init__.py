"""What a search tries, how it scores trials, and how it stores them."""
