"""Print what the jobs of a run took, by kind: python benchmarks/jobs.py results [OTHER ...]

The seconds come from Snakemake's benchmark files. With several result folders, for example of two
versions that ran on one machine, each gets its columns.
"""

import argparse
import json
from pathlib import Path

import pandas as pd


def kind(cell: tuple[str, ...]) -> str:
    """The kind of job that makes a cell, from the parts of its id."""
    arm, *rest = cell
    if arm == "llm":
        return f"llm: {('pre-train', 'install', 'remove')[min(len(rest), 3) - 1]}"
    return f"toy: {rest[0] if rest[0] in ('unknown', 'known', 'classifier') else 'remove'}"


def read(results: Path) -> pd.DataFrame:
    """One row a job: its kind and its seconds."""
    folder = results / "benchmarks"
    rows = [
        {"kind": kind(path.parent.relative_to(folder).parts), "s": json.loads(line)["s"]}
        for path in folder.rglob("seeds-*.jsonl")
        for line in path.read_text().splitlines()[-1:]
    ]
    return pd.DataFrame(rows, columns=["kind", "s"])


def summary(results: Path) -> pd.DataFrame:
    """Jobs, seconds a job (the median) and seconds in all, by kind."""
    by_kind = read(results).groupby("kind")["s"]
    found = pd.DataFrame({"jobs": by_kind.size(), "a job": by_kind.median(), "all": by_kind.sum()})
    found.loc["all"] = [found["jobs"].sum(), None, found["all"].sum()]
    return found.round(1)


def main() -> None:
    """Print one table with a group of columns for each folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="folders that a config calls results")
    args = parser.parse_args()
    tables = {str(folder): summary(folder) for folder in args.results}
    together = pd.concat(tables, axis=1)
    together.columns = [f"{folder}: {name}" for folder, name in together.columns]
    print(together.to_markdown(floatfmt=".1f"))


if __name__ == "__main__":
    main()
