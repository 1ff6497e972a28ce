"""Which settings a search tries, how it scores them, and what it keeps of them."""
